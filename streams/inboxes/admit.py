"""documents-NAME -> documents, document-status: check what an outside system says, and make it ours or say why not."""

import hashlib
import re
from dataclasses import dataclass

from infra.documents import (
    Unfit,
    check_collection_id,
    check_document_id,
    check_words,
    media_type_of,
    readers_of,
    refused,
)
from infra.inboxes import Inbox
from infra.kafka.records import Output, Outputs, Received
from infra.objects import Objects
from infra.postgres.objects import keep, name
from infra.postgres.pool import Pool, connection
from schemas.documents import (
    DocumentAccepted,
    DocumentFailed,
    DocumentPublished,
    DocumentRetracted,
    DocumentWithdrawn,
    Source,
)
from schemas.errors import Invalid, Refused
from schemas.event import Content
from streams.inboxes.collections import Collections
from topics.catalogue import DOCUMENT_STATUS, DOCUMENTS, document_key

INLINE_BYTES = 1024 * 1024
SHOWN_CHARACTERS = 512
SHA256 = re.compile(r"[0-9a-f]{64}")
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")  # what no id may hold

Said = Received[DocumentPublished | DocumentRetracted]


@dataclass(frozen=True)
class Needs:
    """What admission needs."""

    db: Pool
    objects: Objects
    collections: Collections


async def admit_published(received: Received[DocumentPublished], inbox: Inbox, needs: Needs) -> Outputs:
    """A document as we say it; raises Unfit. Admitted twice it is one version: its source position says so."""
    said = received.event
    title = None if said.title is None else " ".join(said.title.split()) or None
    await _check_place(received, inbox, needs)
    check_words(title, said.url)
    content, sha256 = await _content(said, f"user:{inbox.owner}", needs)
    accepted = DocumentAccepted(
        collection_id=said.collection_id,
        document_id=said.document_id,
        publisher=f"inbox:{inbox.name}",
        content=content,
        content_sha256=sha256,
        media_type=media_type_of(said.media_type),
        title=title,
        url=said.url,
        readers=readers_of(said.readers, inbox.readers),
        source_version=said.source_version,
        source=_source(received),
    )
    return [Output(DOCUMENTS, document_key(said.collection_id, said.document_id), accepted)]


async def admit_retracted(received: Received[DocumentRetracted], inbox: Inbox, needs: Needs) -> Outputs:
    """A withdrawal as we say it; raises Unfit. One of a document that was never published is fine."""
    said = received.event
    await _check_place(received, inbox, needs)
    withdrawn = DocumentWithdrawn(
        collection_id=said.collection_id,
        document_id=said.document_id,
        publisher=f"inbox:{inbox.name}",
        source_version=said.source_version,
        source=_source(received),
    )
    return [Output(DOCUMENTS, document_key(said.collection_id, said.document_id), withdrawn)]


async def refuse(received: Said, error: Exception) -> Outputs:
    """documents-NAME -> document-status: never accepted, with the cause and the cure."""
    collection_id, document_id = _shown(received.event.collection_id), _shown(received.event.document_id)
    code, reason = _told(error)
    failed = DocumentFailed(
        collection_id=collection_id,
        document_id=document_id,
        version=None,
        stage="admit",
        code=code,
        reason=reason,
        source=_source(received),
    )
    return [Output(DOCUMENT_STATUS, document_key(collection_id, document_id), failed)]


async def _check_place(received: Said, inbox: Inbox, needs: Needs) -> None:
    """One answer for a collection that is not there and for somebody else's: nobody learns which.

    Nothing else is looked at before: any other refusal is shown in the list of the collection's owner.
    """
    wanted = received.event.collection_id
    check_collection_id(wanted)
    if "*" not in inbox.collections and wanted not in inbox.collections:
        raise refused("not-allowed", f"the inbox {inbox.name} may not publish to {wanted}: see inboxes.yaml")
    if await needs.collections.owner_of(wanted) != inbox.owner:
        cure = f"{inbox.owner}, whose inbox this is, creates it with POST /v1/collections"
        raise refused("unknown-collection", f"there is no collection {wanted} that {inbox.owner} owns: {cure}")
    check_document_id(received.event.document_id)


async def _content(said: DocumentPublished, owner: str, needs: Needs) -> tuple[Content, str]:
    if (said.content is None) == (said.object_sha256 is None):
        raise refused("invalid-content", "a document has content or object_sha256: one of them, and not both")
    async with connection(needs.db) as db:
        if said.object_sha256 is not None:
            found = await name(db, said.object_sha256, owner) if SHA256.fullmatch(said.object_sha256) else None
            if found is None:
                cure = f"upload it with PUT /v1/objects and a key of {owner}"
                raise refused("unknown-object", f"there is no object {_shown(said.object_sha256)} of {owner}: {cure}")
            return found, said.object_sha256
        assert said.content is not None
        if len(said.content) > INLINE_BYTES:
            cure = "upload it with PUT /v1/objects, and publish its object_sha256"
            raise refused("too-large", f"{len(said.content)} bytes; a record holds {INLINE_BYTES}: {cure}")
        return await keep(db, needs.objects, owner, said.content), hashlib.sha256(said.content).hexdigest()


def _source(received: Said) -> Source:
    return Source(topic=received.topic, partition=received.partition, offset=received.offset)


def _told(error: Exception) -> tuple[str, str]:
    """Code and reason of an error, for people; a crash of ours is told without its inside."""
    if isinstance(error, Unfit):
        return error.code, error.reason
    if isinstance(error, Invalid | Refused):
        return "invalid", str(error)
    return "internal-error", f"our fault ({type(error).__name__}): it is in our log; publish it again later"


def _shown(text: str) -> str:
    """An id that may be anything, so that it can be shown and be a key."""
    return CONTROLS.sub("\ufffd", text[:SHOWN_CHARACTERS])
