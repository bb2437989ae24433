"""Deletes what nobody reads any more: documents of deleted collections, passages that a crash left, unnamed objects."""
# ruff: noqa: S608 - every part of a query here is a constant of this module

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog

from infra.kafka.publisher import Publisher, settled
from infra.objects import Objects
from infra.opensearch.passages import PassageIndex
from infra.postgres.pool import Connection, Pool, connection
from infra.settings import Limits
from infra.waiting import backoff_seconds
from schemas.documents import DocumentRemoved, DocumentWithdrawn, Source
from schemas.errors import Invalid, Unavailable
from streams.documents.rows import DocumentRows, Leftover
from streams.documents.version import Key
from topics.catalogue import DOCUMENT_STATUS, DOCUMENTS, document_key

AT_ONCE = 100
WITHDRAWN_AT_ONCE = 1000  # a sweep later the views know them, and the next are asked for
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
WITHDRAWN_BY = """update state.documents d set objects_at = now() from views.documents v
  where v.collection_id = d.collection_id and v.document_id = d.document_id and v.object_sha256 = %(sha256)s
    and d.index = %(index)s and d.phase = 'withdrawn' and d.index_at is not null and d.objects_at is null
  returning d.collection_id, d.document_id, v.withdrawn_offset, d.hidden_at, d.index_at, d.objects_at"""
WITHDRAWN_WITH = """update state.documents d set index_at = coalesce(d.index_at, now()) from views.documents v
  where v.collection_id = d.collection_id and v.document_id = d.document_id and v.withdrawn_offset is not null
    and d.index = %(index)s and d.collection_id = %(collection_id)s and d.document_id = %(document_id)s
    and d.phase = 'withdrawn' and not exists (select 1 from state.leftovers l where l.index = d.index
      and l.collection_id = d.collection_id and l.document_id = d.document_id and l.version <> %(version)s)
  returning d.collection_id, d.document_id, v.withdrawn_offset, d.hidden_at, d.index_at"""
OF_DELETED_COLLECTIONS = """select d.collection_id, d.document_id, c.owner
  from views.collections c join views.documents d using (collection_id)
  where c.created_offset is not null and c.deleted_offset is not null
    and d.accepted_offset > coalesce(d.withdrawn_offset, -1) limit %s"""


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
        """Sweeps for ever; a server that is away, or refuses, is asked again later."""
        tried = 0
        while True:
            await asyncio.sleep(self._limits.sweep_seconds + backoff_seconds(tried))
            done = [
                await self._done(what) for what in (self.sweep_collections, self.sweep_passages, self.sweep_objects)
            ]
            tried = 0 if all(done) else tried + 1

    async def _done(self, what: Callable[[], Awaitable[int]]) -> bool:
        try:
            await what()
        except (Unavailable, Invalid) as exc:
            log.warning("sweeping later", what=what.__name__, reason=str(exc))
            return False
        return True

    async def sweep_collections(self) -> int:
        """Withdraws the documents of deleted collections, on the log like any other withdrawal; gives their number."""
        async with connection(self._pool) as db:
            found = await (await db.execute(OF_DELETED_COLLECTIONS, [WITHDRAWN_AT_ONCE])).fetchall()
        sent = []
        for collection, document, owner in found:
            withdrawn = DocumentWithdrawn(
                collection_id=collection, document_id=document, publisher=f"user:{owner}", source=Source()
            )
            sent.append(await self._publisher.send(DOCUMENTS, document_key(collection, document), withdrawn))
        for one in sent:
            await settled(one)
        return len(found)

    async def sweep_passages(self) -> int:
        """Deletes what has been left over for a while; gives the number of versions."""
        async with connection(self._pool) as db:
            args = (self._rows.index, self._limits.leftover_grace_seconds, AT_ONCE)
            found = await (await db.execute(OLD_LEFTOVERS, args)).fetchall()
        for collection, document, version, passages in found:
            leftover = Leftover(Key(self._rows.index, collection, document), version, passages)
            await self._index.delete(collection, document, version, passages)
            await self._tell_removed(leftover)
            await self._rows.swept(leftover)
        return len(found)

    async def _tell_removed(self, last: Leftover) -> None:
        """The receipt of a withdrawal that its step could not finish, when nothing else is left of the document.

        The leftover stays until the receipt is out, so a crash between only repeats it.
        """
        async with connection(self._pool) as db:
            rows = await db.execute(WITHDRAWN_WITH, vars(last.key) | {"version": last.version})
            removed = [_removed(*row) async for row in rows]
        for event in removed:
            await self._publish(event)

    async def sweep_objects(self) -> int:
        """Deletes objects that no document names, some time after anybody did; gives their number."""
        async with connection(self._pool) as db:
            rows = await db.execute(UNNAMED_OBJECTS, (self._limits.object_grace_seconds, AT_ONCE))
            candidates = [str(row[0]) async for row in rows]
        return sum([await self._remove_object(sha256) for sha256 in candidates])

    async def _remove_object(self, sha256: str) -> bool:
        """Looks once more under the row's lock, which whoever names or uploads it must take, too.

        The receipts go out before the rows are committed: a crash between repeats them, and loses none.
        """
        async with connection(self._pool) as db, db.transaction():
            found = await (await db.execute(STILL_UNNAMED, (self._limits.object_grace_seconds, sha256))).fetchall()
            if not found or any(named or touched for _, named, touched in found):
                return False
            await self._objects.delete(sha256)
            await db.execute("delete from state.objects where sha256 = %s", [sha256])
            for removed in await self._removed_with(db, sha256):
                await self._publish(removed)
        log.info("an object that nothing names is deleted", sha256=sha256)
        return True

    async def _removed_with(self, db: Connection, sha256: str) -> list[DocumentRemoved]:
        """A second receipt for each withdrawn document whose object it was."""
        rows = await db.execute(WITHDRAWN_BY, {"sha256": sha256, "index": self._rows.index})
        return [_removed(*row) async for row in rows]

    async def _publish(self, removed: DocumentRemoved) -> None:
        key = document_key(removed.collection_id, removed.document_id)
        await self._publisher.publish(DOCUMENT_STATUS, key, removed)


def _removed(
    collection_id: str,
    document_id: str,
    version: int,
    hidden_at: datetime,
    index_at: datetime,
    objects_at: datetime | None = None,
) -> DocumentRemoved:
    return DocumentRemoved(
        collection_id=collection_id,
        document_id=document_id,
        version=version,
        hidden_at=_ms(hidden_at),
        index_at=_ms(index_at),
        objects_at=None if objects_at is None else _ms(objects_at),
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
