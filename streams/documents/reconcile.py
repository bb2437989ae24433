"""Compares the index with the rows, slowly: passages that are neither live nor being written are deleted."""

import asyncio
from collections.abc import Sequence

import structlog

from infra.opensearch.passages import IndexedVersion, PassageIndex
from infra.postgres.pool import Pool, connection
from schemas.errors import Invalid, Unavailable

DEAD = """select asked.collection_id, asked.document_id, asked.version
from unnest(%s::text[], %s::text[], %s::bigint[]) asked (collection_id, document_id, version)
left join state.documents d on d.index = %s and d.collection_id = asked.collection_id
  and d.document_id = asked.document_id
where not coalesce(d.live_version = asked.version or (d.phase = 'writing' and d.last_offset = asked.version), false)
  and not exists (select 1 from state.restores r where r.index = %s and r.collection_id = asked.collection_id
    and r.document_id = asked.document_id)"""  # what is restored may be adopted
log = structlog.get_logger()


async def reconcile(index: PassageIndex, pool: Pool) -> int:
    """Gives the number of versions that had to go. What is dead once stays dead: looking late does no harm."""
    deleted = 0
    async for page in index.versions():
        for version in await _dead(pool, index.number, page):
            log.warning("passages that no row knows", document=version.document_id, version=version.version)
            await index.delete_version(version)
            deleted += 1
    return deleted


async def run_reconcile(index: PassageIndex, pool: Pool, every_seconds: float) -> None:
    """Reconciles for ever, first after a while; a server that is away, or refuses, is tried again later."""
    while True:
        await asyncio.sleep(every_seconds)
        try:
            await reconcile(index, pool)
        except (Unavailable, Invalid) as exc:
            log.warning("reconciling later", reason=str(exc))


async def _dead(pool: Pool, number: int, page: Sequence[IndexedVersion]) -> list[IndexedVersion]:
    columns = ([v.collection_id for v in page], [v.document_id for v in page], [v.version for v in page])
    async with connection(pool) as db:
        rows = await db.execute(DEAD, (*columns, number, number))
        return [IndexedVersion(*row) async for row in rows]
