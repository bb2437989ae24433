"""Whose objects are: only who uploaded or published one may name it, and the sweeper spares what was just named."""

import hashlib

from infra.objects import Objects
from infra.postgres.pool import Connection
from schemas.event import Content


async def claim(db: Connection, sha256: str, owner: str, size: int) -> None:
    """Notes an owner (`user:ID`). Its bytes are put in the same transaction, so that no sweep comes between."""
    await db.execute("select app.claim_object(%s, %s, %s)", [sha256, owner, size])


async def name(db: Connection, sha256: str, owner: str) -> Content | None:
    """An object as content, None when it is not this owner's; it stays for as long as publishing it takes."""
    row = await (await db.execute("select app.name_object(%s, %s)", [sha256, owner])).fetchone()
    size = row[0] if row else None
    return None if size is None else Content(object_sha256=sha256, size=int(size))


async def keep(db: Connection, objects: Objects, owner: str, data: bytes) -> Content:
    """Bytes as content: inline, or above the limit as an object of their publisher's."""
    if len(data) <= objects.inline_bytes:
        return Content(inline=data, size=len(data))
    async with db.transaction():
        await claim(db, hashlib.sha256(data).hexdigest(), owner, len(data))
        return await objects.content_of(data)
