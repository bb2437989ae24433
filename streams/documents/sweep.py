"""Deletes what a crash left: passages of versions that are not live any more, and objects that nothing names."""
# ruff: noqa: S608 - every part of a query here is a constant of this module

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog

from infra.kafka.publisher import Publisher
from infra.objects import Objects
from infra.opensearch.passages import PassageIndex
from infra.postgres.pool import Connection, Pool, connection
from infra.settings import Limits
from infra.waiting import backoff_seconds
from schemas.documents import DocumentRemoved
from schemas.errors import Unavailable
from streams.documents.rows import DocumentRows, Leftover
from streams.documents.version import Key
from topics.catalogue import DOCUMENT_STATUS, document_key

AT_ONCE = 100
log = structlog.get_logger()

OLD_LEFTOVERS = """select collection_id, document_id, version, passages from state.leftovers
  where index = %s and since < now() - make_interval(secs => %s) order by since limit %s"""
NAMED = """exists (select 1 from state.documents d where d.object_sha256 = o.sha256 or d.live_object = o.sha256)
  or exists (select 1 from views.documents v where v.object_sha256 = o.sha256
             and (v.withdrawn_offset is null or v.accepted_offset > v.withdrawn_offset))"""
UNNAMED_OBJECTS = f"""select distinct o.sha256 from state.objects o
  where o.touched_at < now() - make_interval(secs => %s) and not ({NAMED}) limit %s"""
STILL_UNNAMED = f"""select o.sha256, {NAMED}, o.touched_at >= now() - make_interval(secs => %s)
  from state.objects o where o.sha256 = %s for update of o"""
WITHDRAWN_BY = """update state.documents d set objects_at = %(now)s from views.documents v
  where v.collection_id = d.collection_id and v.document_id = d.document_id and v.object_sha256 = %(sha256)s
    and d.index = %(index)s and d.phase = 'withdrawn' and d.index_at is not null and d.objects_at is null
  returning d.collection_id, d.document_id, d.last_offset, d.hidden_at, d.index_at"""


async def sweep(leftovers: Sequence[Leftover], rows: DocumentRows, index: PassageIndex) -> None:
    """Deletes versions by computed ids, and notes that they are gone; whoever else does the same does no harm."""
    for leftover in leftovers:
        key = leftover.key
        await index.delete(key.collection_id, key.document_id, leftover.version, leftover.passages)
        await rows.swept(leftover)


class Sweeper:
    """Finishes, beside the steps, what nobody will be reminded of by a redelivery."""

    def __init__(
        self,
        limits: Limits,
        pool: Pool,
        rows: DocumentRows,
        index: PassageIndex,
        objects: Objects,
        publisher: Publisher,
    ) -> None:
        self._limits, self._pool, self._rows, self._index = limits, pool, rows, index
        self._objects, self._publisher = objects, publisher

    async def run(self) -> None:
        """Sweeps for ever; a server that is away is waited for."""
        tried = 0
        while True:
            await asyncio.sleep(self._limits.sweep_seconds + backoff_seconds(tried))
            try:
                await self.sweep_passages()
                await self.sweep_objects()
                tried = 0
            except Unavailable as exc:
                log.warning("the sweeper waits for a server", server=exc.server, reason=exc.reason)
                tried += 1

    async def sweep_passages(self) -> int:
        """Deletes what has been left over for a while; gives the number of versions."""
        async with connection(self._pool) as db:
            args = (self._rows.index, self._limits.leftover_grace_seconds, AT_ONCE)
            found = await (await db.execute(OLD_LEFTOVERS, args)).fetchall()
        old = [Leftover(Key(self._rows.index, row[0], row[1]), row[2], row[3]) for row in found]
        await sweep(old, self._rows, self._index)
        return len(old)

    async def sweep_objects(self) -> int:
        """Deletes objects that no document names, some time after anybody did; gives their number."""
        async with connection(self._pool) as db:
            rows = await db.execute(UNNAMED_OBJECTS, (self._limits.object_grace_seconds, AT_ONCE))
            candidates = [str(row[0]) async for row in rows]
        return sum([await self._remove_object(sha256) for sha256 in candidates])

    async def _remove_object(self, sha256: str) -> bool:
        """Looks once more under the row's lock, which whoever names or uploads it must take, too."""
        removed: list[tuple[DocumentRemoved, str]] = []
        async with connection(self._pool) as db, db.transaction():
            found = await (await db.execute(STILL_UNNAMED, (self._limits.object_grace_seconds, sha256))).fetchall()
            if not found or any(named or touched for _, named, touched in found):
                return False
            await self._objects.delete(sha256)
            await db.execute("delete from state.objects where sha256 = %s", [sha256])
            removed = await self._told_by(db, sha256)
        for event, key in removed:
            await self._publisher.publish(DOCUMENT_STATUS, key, event)
        log.info("an object that nothing names is deleted", sha256=sha256)
        return True

    async def _told_by(self, db: Connection, sha256: str) -> list[tuple[DocumentRemoved, str]]:
        """A second receipt for each withdrawn document whose object it was."""
        now = datetime.now().astimezone()
        rows = await db.execute(WITHDRAWN_BY, {"now": now, "sha256": sha256, "index": self._rows.index})
        return [
            (
                DocumentRemoved(
                    collection_id=collection,
                    document_id=document,
                    version=version,
                    hidden_at=_ms(hidden),
                    index_at=_ms(index),
                    objects_at=_ms(now),
                ),
                document_key(collection, document),
            )
            async for collection, document, version, hidden, index in rows
        ]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
