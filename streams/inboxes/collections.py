"""Whose a collection is, as the log had it when a record was read: the views may lag behind it."""

import asyncio

from infra.postgres.freshness import Freshness, Offsets, end_offsets
from infra.postgres.pool import Pool, connection
from infra.settings import Settings
from schemas.errors import Unavailable
from topics.catalogue import ACCESS_CHANGES

OWNER = "select live, owner from views.collections where collection_id = %s and created_offset is not null"
PATIENCE_SECONDS = 10.0


class Collections:
    """Looks at the views; before it says that there is no such collection, waits until they know all that was said."""

    def __init__(self, settings: Settings, db: Pool, freshness: Freshness) -> None:
        self._settings, self._db, self._freshness = settings, db, freshness
        self._looking = asyncio.Lock()
        self._asked = self._seen = 0
        self._ends: Offsets = {}

    async def owner_of(self, collection_id: str) -> str | None:
        """The owner of a live collection, None when there is none; raises Unavailable while nobody can know."""
        found = await self._look(collection_id)
        if found is None:
            if not await self._freshness.wait_for_all(await self._ends_now(), PATIENCE_SECONDS):
                raise Unavailable("views", "they do not know yet whether there is such a collection")
            found = await self._look(collection_id)
        return found[1] if found and found[0] else None

    async def _look(self, collection_id: str) -> tuple[bool, str] | None:
        async with connection(self._db) as db:
            row = await (await db.execute(OWNER, [collection_id])).fetchone()
        return None if row is None else (bool(row[0]), str(row[1]))

    async def _ends_now(self) -> Offsets:
        """The ends of `access-changes` at a moment after the call; whoever asks meanwhile shares the next look."""
        self._asked += 1
        mine = self._asked
        async with self._looking:
            if self._seen < mine:
                upto = self._asked
                self._ends = await end_offsets(self._settings, (ACCESS_CHANGES,))
                self._seen = upto
            return self._ends
