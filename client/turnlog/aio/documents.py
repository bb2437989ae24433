"""Publishing: documents, and the objects that large ones go ahead as."""

import time
from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from turnlog.aio.http import AsyncHttp, AsyncUpload
from turnlog.body import Body, size_of
from turnlog.errors import TurnlogError
from turnlog.model import Document, StoredObject, part, read
from turnlog.paths import path, said

LARGE_BYTES = 4 * 1024 * 1024  # larger documents go ahead as objects; a request holds 8 MiB
INDEXED_SECONDS = 900.0
POLL_SECONDS = 0.5
Sent = Callable[[int], None]


class AsyncDocuments:
    """What a key with the scope `publish` can do; reading needs none."""

    _http: AsyncHttp

    async def publish(
        self,
        collection_id: str,
        document_id: str,
        content: Body | StoredObject,
        *,
        media_type: str,
        title: str | None = None,
        wait: bool = False,
        sent: Sent = lambda _: None,
    ) -> Document:
        """Publishes a document's next version; with `wait`, comes back when it can be found, or has failed.

        A path is read as it is sent, so it may name more than fits into memory; what was uploaded before is only named.
        `sent` is told how many bytes were sent so far; after a failure it begins again at 0.
        """
        params = said(title=title, wait="searchable" if wait else None)
        if not isinstance(content, StoredObject) and size_of(content) > LARGE_BYTES:
            content = await self.upload(content, sent=sent)
        if isinstance(content, StoredObject):
            params["object_sha256"] = content.sha256
            content = b""
        where, headers = _document(collection_id, document_id), {"content-type": media_type}
        document = read(Document, await self._put(where, content, sent, params=params, headers=headers))
        return await self.searchable(document) if wait else document

    async def upload(self, content: Body, *, sent: Sent = lambda _: None) -> StoredObject:
        """Stores bytes under their hash, at most 1 GiB; the same bytes again change nothing.

        An object that no document names is deleted after a while.
        """
        return read(StoredObject, await self._put("/v1/objects", content, sent))

    async def object(self, sha256: str) -> StoredObject:
        """What was uploaded before; raises Problem when it is not there, or not one's own."""
        return read(StoredObject, await self._http.json("GET", path("objects", sha256)))

    async def _put(
        self,
        where: str,
        content: Body,
        sent: Sent,
        params: dict[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        size = size_of(content)
        return await self._http.write(
            "PUT",
            where,
            headers={"content-length": str(size), **(headers or {})},
            params=params,
            content=AsyncUpload(content, size, sent),
        )

    async def searchable(self, document: Document) -> Document:
        """Waits until a document can be found, or has failed; raises TurnlogError after 15 minutes."""
        deadline = time.monotonic() + INDEXED_SECONDS
        while document.state == "queued":
            document = await self.document(document.collection_id, document.document_id)
            if document.state != "queued":
                break
            if time.monotonic() > deadline:
                waits = f"it waits for {document.waiting_for}" if document.waiting_for else "others are before it"
                raise TurnlogError(
                    f"{document.key} is accepted, but after {INDEXED_SECONDS:.0f} s not indexed: {waits}",
                    "It will be: look with `turnlog documents show`.",
                )
            await sleep(POLL_SECONDS)
        return document

    async def document(self, collection_id: str, document_id: str) -> Document:
        """What has become of a document."""
        return read(Document, await self._http.json("GET", _document(collection_id, document_id), fresh=True))

    async def documents(self, collection_id: str) -> AsyncIterator[Document]:
        """Every document of a collection, page by page."""
        where, cursor = path("collections", collection_id, "documents"), None
        while True:
            page = await self._http.json("GET", where, params=said(cursor=cursor), fresh=True)
            for told in part(page, "documents"):
                yield read(Document, told)
            cursor = part(page, "next")
            if not cursor:
                return

    async def delete(self, collection_id: str, document_id: str) -> None:
        """Withdraws a document: it is found no more as soon as this is accepted."""
        await self._http.write("DELETE", _document(collection_id, document_id))


def _document(collection_id: str, document_id: str) -> str:
    return path("collections", collection_id, "documents", document_id)
