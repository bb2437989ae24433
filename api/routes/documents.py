"""/v1/collections/{collection}/documents: publishing over HTTP, what became of it, and taking it back."""

import asyncio
import hashlib
import mimetypes
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from api.accept import Accepted, Command, digest_of, idempotency_key
from api.auth import Authenticated, Publishes
from api.caller import Caller
from api.consistency import POSITION, Written, folded
from api.document_status import MANY, DocumentRow, DocumentStatus, row_of
from api.fields import CollectionPath, Paged, rows
from api.problems import Problem, forbidden, not_found
from api.routes.collections import check_readers
from api.services import Opened, Services
from infra.documents import DOCUMENT_ID, Unfit, check_words, media_type_of, readers_of
from infra.postgres.objects import keep, name
from infra.postgres.pool import Connection
from schemas.documents import DocumentAccepted, DocumentWithdrawn, Source
from schemas.event import Content
from topics.catalogue import DOCUMENTS, document_key

router = APIRouter(prefix="/v1/collections/{collection}/documents", tags=["documents"])
DocumentPath = Annotated[
    str, Path(alias="document_id", pattern=DOCUMENT_ID, description="percent-encoded; `/` may stay")
]
IdempotencyKey = Annotated[str | None, Header(alias="idempotency-key")]
ObjectHash = Annotated[
    str | None, Query(pattern=r"^[0-9a-f]{64}$", description="an object of yours, in place of a body")
]
SAYS_NOTHING = ("", "application/octet-stream", "application/x-www-form-urlencoded")  # what tools send unasked
STATUS = {"unsupported-media-type": 415, "too-large": 413}
NO_READERS = [""]
"""Query `readers=`: a list without anybody."""


class Described(BaseModel):
    """What is said of a document besides its bytes."""

    title: str | None = None
    url: str | None = None
    readers: list[str] | None = None
    source_version: int | None = None
    media_type: str


class DocumentPage(BaseModel):
    """Some documents of a collection, in the order of ids; `next`: the cursor of the page after, null at the end."""

    documents: list[DocumentStatus]
    next: str | None


@router.get("")
async def list_documents(
    collection: CollectionPath, caller: Authenticated, services: Opened, paged: Paged
) -> DocumentPage:
    """The documents of a collection that the caller may read; its owner also sees what failed and what is withdrawn."""
    async with caller.reading(services.db) as db:
        if not await _reads(db, collection):
            raise not_found(f"collection {collection}")
        found = await rows(db, DocumentRow, MANY, {"collection": collection, **paged.model_dump()})
    last = found[-1].document_id if len(found) == paged.limit else None
    return DocumentPage(documents=[row.status() for row in found], next=last)


@router.get("/{document_id:path}")
async def get_document(
    collection: CollectionPath, document_id: DocumentPath, caller: Authenticated, services: Opened
) -> DocumentStatus:
    """What has become of a document."""
    async with caller.reading(services.db) as db:
        found = await row_of(db, collection, document_id)
    if found is None:
        raise not_found(f"document {document_key(collection, document_id)}")
    return found.status()


@router.put("/{document_id:path}", status_code=202, response_model=DocumentStatus)
async def publish_document(
    collection: CollectionPath,
    document_id: DocumentPath,
    request: Request,
    caller: Publishes,
    services: Opened,
    title: Annotated[str | None, Query(description="null: taken from the document")] = None,
    url: Annotated[str | None, Query(description="where people find the original; never opened by us")] = None,
    readers: Annotated[list[str] | None, Query(description="repeatable; none: the collection's; empty: nobody")] = None,
    source_version: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="a lower one is ignored")] = None,
    object_sha256: ObjectHash = None,
    wait: Annotated[
        Literal["searchable"] | None, Query(description="answer when it can be found, 30 s at most")
    ] = None,
    idempotency_key_header: IdempotencyKey = None,
) -> Response:
    """Publishes a document's next version: the body is its bytes, the content type says what they are.

    202: accepted, and it will be indexed. 200 with `wait=searchable`: it is (or it failed, and `state` says so).
    """
    try:
        said = Described(
            title=None if title is None else " ".join(title.split()) or None,
            url=url,
            readers=readers_of([] if readers == NO_READERS else readers),
            source_version=source_version,
            media_type=_media_type(request, document_id),
        )
        check_words(said.title, said.url)
    except Unfit as exc:
        raise Problem(STATUS.get(exc.code, 422), exc.code, exc.reason) from exc
    body = await request.body()
    content, sha256 = await _content(services, caller, collection, body, object_sha256, said.readers)
    event = DocumentAccepted(
        collection_id=collection,
        document_id=document_id,
        publisher=f"user:{caller.user_id}",
        content=content,
        content_sha256=sha256,
        source=Source(),
        **said.model_dump(),
    )
    asked = f"{request.url.path}\n{object_sha256}\n{said.model_dump_json()}"
    accepted = await _accepted(services, caller, event, idempotency_key_header, digest_of("PUT", asked, body))
    written = await folded(services, [(DOCUMENTS.name, accepted.position)])
    return await _told(services, caller, written, collection, document_id, wait is not None)


@router.delete("/{document_id:path}", status_code=204)
async def withdraw_document(
    collection: CollectionPath,
    document_id: DocumentPath,
    request: Request,
    caller: Publishes,
    services: Opened,
    idempotency_key_header: IdempotencyKey = None,
) -> Response:
    """Takes a document back: no search finds it from the answer on; then its passages and its object are deleted."""
    async with caller.reading(services.db) as db:
        await _check_kept(db, collection)
        found = await row_of(db, collection, document_id)
    if found is None or found.version is None:
        raise not_found(f"document {document_key(collection, document_id)}")
    event = DocumentWithdrawn(
        collection_id=collection, document_id=document_id, publisher=f"user:{caller.user_id}", source=Source()
    )
    digest = digest_of("DELETE", request.url.path, b"")
    accepted = await _accepted(services, caller, event, idempotency_key_header, digest)
    return (await folded(services, [(DOCUMENTS.name, accepted.position)])).answer()


async def _accepted(
    services: Services,
    caller: Caller,
    event: DocumentAccepted | DocumentWithdrawn,
    key: str | None,
    digest: bytes,
) -> Accepted:
    return await services.accept.once(
        Command(
            owner=caller.user_id,
            key=idempotency_key(key),
            digest=digest,
            reference=event.event_id,
            called="event_id",
            topic=DOCUMENTS,
            record_key=document_key(event.collection_id, event.document_id),
            encoded=services.publisher.encode(DOCUMENTS, event),
        )
    )


async def _content(
    services: Services, caller: Caller, collection: str, body: bytes, sha256: str | None, readers: list[str] | None
) -> tuple[Content, str]:
    """The document's bytes, once all that names somebody's things was found to be the caller's to name."""
    owner = f"user:{caller.user_id}"
    async with caller.reading(services.db) as db:
        await _check_kept(db, collection)
        await check_readers(db, caller, readers or [])
        if sha256 is None:
            return await keep(db, services.objects, owner, body), hashlib.sha256(body).hexdigest()
        content = await name(db, sha256, owner)
    if content is None:
        raise not_found(f"object {sha256}")
    if body:
        raise Problem(422, "invalid-content", "a document has a body or object_sha256: one of them, and not both")
    return content, sha256


async def _told(
    services: Services, caller: Caller, written: Written, collection: str, document_id: str, wait: bool
) -> Response:
    """The status after a write; with `wait` as soon as indexing is done with it."""
    place = {"collection_id": collection, "document_id": document_id, "key": document_key(collection, document_id)}
    ((_, position),) = written.places
    if not written.folded:
        return written.answer(place | {"state": "queued", "version": position.offset})
    deadline = time.monotonic() + (services.settings.limits.wait_searchable_seconds if wait else 0)
    while True:
        changed = asyncio.create_task(services.freshness.changed(max(0.0, deadline - time.monotonic())))
        try:
            async with caller.reading(services.db) as db:
                row = await row_of(db, collection, document_id)
            if row is None or row.state != "queued" or row.version != position.offset or time.monotonic() >= deadline:
                break
            await changed
        finally:
            changed.cancel()
    if row is None:  # its collection was deleted meanwhile
        raise not_found(f"document {document_key(collection, document_id)}")
    status = 200 if wait and row.state != "queued" else 202
    return Response(row.status().model_dump_json(), status, {POSITION: written.header}, "application/json")


def _media_type(request: Request, document_id: str) -> str:
    """What the sender says; when it says nothing, what the id ends in."""
    said = request.headers.get("content-type", "")
    if said.partition(";")[0].strip().lower() not in SAYS_NOTHING:
        return media_type_of(said)
    guessed = {".md": "text/markdown", ".markdown": "text/markdown"}.get(f".{document_id.rpartition('.')[2].lower()}")
    return media_type_of(guessed or mimetypes.guess_type(document_id)[0] or said)


async def _reads(db: Connection, collection: str) -> bool:
    row = await (await db.execute("select app.reads_collection(%s)", [collection])).fetchone()
    return bool(row and row[0])


async def _check_kept(db: Connection, collection: str) -> None:
    """Raises 404 for a collection that the caller may not read, 403 for one that is somebody else's."""
    if not await _reads(db, collection):
        raise not_found(f"collection {collection}")
    row = await (await db.execute("select app.keeps_collection(%s)", [collection])).fetchone()
    if not (row and row[0]):
        raise forbidden(f"only the owner of collection {collection} publishes to it")
