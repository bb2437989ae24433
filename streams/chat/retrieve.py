"""Passages for a question, under the rights that its asker has now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.postgres.freshness import Freshness
from infra.postgres.pool import Pool, connection
from infra.settings import Settings
from schemas.answers import Permissions, Retrieved, ViewOffset
from schemas.errors import Refused
from schemas.event import Content
from streams.chat.prepare import Found, Look, Search
from topics.catalogue import ACCESS_CHANGES, DOCUMENTS

PRINCIPALS = "select app.principals_of(%s)"


@asynccontextmanager
async def open_search(settings: Settings, claims: Pool, reading: Pool, freshness: Freshness) -> AsyncIterator[Search]:
    """A search as the user of each turn."""

    async def search(look: Look) -> Found:
        permissions = await permissions_of(claims, freshness, look.user_id)
        nothing = Retrieved(query=Content.of(look.query), hits=0, walled=0, returned=0)
        return Found([], nothing, permissions)

    yield search


async def permissions_of(claims: Pool, freshness: Freshness, user_id: str) -> Permissions:
    """What a user may read now, and how fresh the views are that say so; raises Refused for nobody."""
    folded = freshness.offsets((ACCESS_CHANGES, DOCUMENTS))
    async with connection(claims) as db:
        row = await (await db.execute(PRINCIPALS, [user_id])).fetchone()
    if row is None or not row[0]:
        raise Refused("there is no such user, or it is switched off")
    views = [ViewOffset(topic=topic, partition=n, offset=offset) for (topic, n), offset in sorted(folded.items())]
    return Permissions(user_id=user_id, principals=sorted(row[0]), views=views)
