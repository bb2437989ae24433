"""Object storage by content hash: bytes too large for a record lie here, and what is read is verified."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from infra.settings import Settings
from schemas.errors import Invalid, Unavailable
from schemas.event import Content

UPLOADS = "uploads"
BUFFER_BYTES = 5 * 1024 * 1024  # the least that a bucket takes as a part
PARTS_AT_ONCE = 2


@dataclass(frozen=True)
class Upload:
    """Bytes that have come, under a name of their own until they are kept."""

    sha256: str
    size: int
    path: str


def path_of(sha256: str) -> str:
    """The only path an object may have; raises Invalid for anything but 64 lower-case hex digits."""
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise Invalid("an object is named by the 64 lower-case hex digits of its SHA-256")
    return f"objects/{sha256[:2]}/{sha256[2:4]}/{sha256}"


class Objects:
    """Content-addressed objects in a local folder or a bucket."""

    def __init__(self, store: ObjectStore, inline_bytes: int) -> None:
        self._store, self.inline_bytes = store, inline_bytes

    @classmethod
    def open(cls, settings: Settings) -> "Objects":
        """Opens the store that the settings name; no connection is made yet."""
        if settings.objects_url:
            return cls(from_url(settings.objects_url), settings.limits.inline_bytes)
        return cls(LocalStore(Path(settings.folder("store")).absolute()), settings.limits.inline_bytes)

    async def put(self, data: bytes) -> str:
        """Stores bytes under their hash, which it returns; storing them again changes nothing."""
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            await obstore.put_async(self._store, path_of(sha256), data)
        except BaseError as exc:
            raise Unavailable("objects", str(exc)) from exc
        return sha256

    async def get(self, sha256: str) -> bytes:
        """The verified bytes; raises Invalid when there is no such object or its bytes are others."""
        try:
            found = await obstore.get_async(self._store, path_of(sha256))
            data = bytes(await found.bytes_async())
        except FileNotFoundError as exc:
            raise Invalid(f"there is no object {sha256}") from exc
        except BaseError as exc:
            raise Unavailable("objects", str(exc)) from exc
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Invalid(f"object {sha256} holds other bytes than its name says")
        return data

    async def delete(self, sha256: str) -> None:
        """Removes an object; one that is gone already is fine."""
        await self._removed(path_of(sha256))

    async def _removed(self, path: str) -> None:
        try:
            await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            return
        except BaseError as exc:
            raise Unavailable("objects", str(exc)) from exc

    @asynccontextmanager
    async def received(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Upload]:
        """Stores a stream while it hashes it; what is not kept within the block is removed. Raises Unavailable."""
        path = f"{UPLOADS}/{uuid.uuid4().hex}"
        try:
            yield await self._written(path, chunks)
        finally:
            await self._removed(path)

    async def keep(self, upload: Upload) -> None:
        """Gives an upload its name for good; raises Unavailable."""
        try:
            await obstore.rename_async(self._store, upload.path, path_of(upload.sha256), overwrite=True)
        except BaseError as exc:
            raise Unavailable("objects", str(exc)) from exc

    async def forget_uploads(self, older: timedelta) -> int:
        """Removes what crashes left of uploads; gives their number."""
        try:
            found = await obstore.list(self._store, prefix=UPLOADS).collect_async()
        except BaseError as exc:
            raise Unavailable("objects", str(exc)) from exc
        left = [one["path"] for one in found if one["last_modified"] < datetime.now(UTC) - older]
        for path in left:
            await self._removed(path)
        return len(left)

    async def _written(self, path: str, chunks: AsyncIterator[bytes]) -> Upload:
        digest, size = hashlib.sha256(), 0
        try:
            async with obstore.open_writer_async(
                self._store, path, buffer_size=BUFFER_BYTES, max_concurrency=PARTS_AT_ONCE
            ) as writer:
                async for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    await writer.write(chunk)
        except BaseError as exc:
            raise Unavailable("objects", str(exc)) from exc
        return Upload(digest.hexdigest(), size, path)

    async def content_of(self, words: str | bytes) -> Content:
        """Content that lies inline up to the limit (256 kB), else as an object."""
        data = words.encode() if isinstance(words, str) else words
        if len(data) <= self.inline_bytes:
            return Content(inline=data, size=len(data))
        return Content(object_sha256=await self.put(data), size=len(data))

    async def read(self, content: Content) -> bytes:
        """The bytes of a content, wherever they lie."""
        if content.inline is not None:
            return content.inline
        if content.object_sha256 is None:
            raise Invalid("content with neither bytes nor an object")
        return await self.get(content.object_sha256)
