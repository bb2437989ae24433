"""`state.documents` and `state.leftovers`: who may write a version, and what must go; each change a transaction."""
# ruff: noqa: S608 - every part of a query here is a constant of this module

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from infra.kafka.records import Received
from infra.postgres.pool import Connection, Pool, connection
from schemas.documents import DocumentAccepted
from schemas.errors import Unavailable
from streams.documents.decide import Known, decide
from streams.documents.version import Change, Key, digest_of

COLUMNS = """last_offset, positions, source_version, phase, outcome, code, stage, reason, digest, passages,
  object_sha256, live_version, live_digest, live_passages, live_object, hidden_at, index_at"""
WHERE = "index = %(index)s and collection_id = %(collection)s and document_id = %(document)s"
MINE = f"{WHERE} and last_offset = %(version)s and phase = 'writing'"

FLIP = f"""with old as (select * from state.documents where {MINE} for update),
left_over as (insert into state.leftovers (index, collection_id, document_id, version, passages)
  select index, collection_id, document_id, live_version, live_passages from old
  where live_version is not null on conflict do nothing)
update state.documents d set phase = 'live', outcome = 'indexed', waiting_for = null,
  live_version = old.last_offset, live_digest = old.digest, live_passages = old.passages,
  live_readers = old.readers, live_object = old.object_sha256
from old where d.index = old.index and d.collection_id = old.collection_id and d.document_id = old.document_id
returning old.live_version, old.live_passages, {", ".join("d." + name.strip() for name in COLUMNS.split(","))}"""
LOCK = f"""insert into state.documents as d (index, collection_id, document_id, last_offset, phase)
values (%(index)s, %(collection)s, %(document)s, -1, 'failed')
on conflict (index, collection_id, document_id) do update set last_offset = d.last_offset returning {COLUMNS}"""


@dataclass(frozen=True)
class Row:
    """How far the steps are. phase: writing, live, failed or withdrawn; outcome: what the receipt says."""

    last_offset: int
    positions: dict[str, int]
    source_version: int | None
    phase: str
    outcome: str | None
    code: str | None
    stage: str | None
    reason: str | None
    digest: str | None
    passages: int | None
    object_sha256: str | None
    live_version: int | None
    live_digest: str | None
    live_passages: int | None
    live_object: str | None
    hidden_at: datetime | None
    index_at: datetime | None

    def holds(self, version: int) -> bool:
        """Whether a version is live, or may still become so: its passages must stay."""
        return self.live_version == version or (self.last_offset == version and self.phase == "writing")


@dataclass(frozen=True)
class Leftover:
    """A version whose passages must go."""

    key: Key
    version: int
    passages: int


class DocumentRows:
    """The rows of one index; the pool is of the role documents."""

    def __init__(self, pool: Pool, index: int) -> None:
        self._pool, self.index = pool, index

    async def begin(self, received: Received[DocumentAccepted]) -> Row:
        """Takes up an accepted version, once: phase `writing` and last_offset tell who must write it."""
        event, version = received.event, received.offset
        digest = digest_of(event)

        def change(row: Row) -> dict[str, Any]:
            if row.live_version is not None and row.live_digest == digest:
                return {"phase": "live", "outcome": "unchanged", "object_sha256": row.live_object}
            return {
                "phase": "writing",
                "outcome": None,
                "digest": digest,
                "passages": None,
                "readers": event.readers,
                "object_sha256": event.content.object_sha256,
            }

        return await self._decide(received, version, change)

    async def begin_withdrawal(self, received: Change) -> Row:
        """Hides a document for good, once; its passages become leftovers."""

        def change(_: Row) -> dict[str, Any]:
            nothing = dict.fromkeys(("live_version", "live_digest", "live_passages", "live_readers", "live_object"))
            nothing |= dict.fromkeys(("digest", "passages", "readers", "object_sha256", "index_at", "objects_at"))
            return {"phase": "withdrawn", "outcome": "withdrawn", "hidden_at": datetime.now().astimezone(), **nothing}

        return await self._decide(received, received.offset, change, leave_live=True)

    async def _decide(
        self, received: Change, version: int, change: Callable[[Row], dict[str, Any]], leave_live: bool = False
    ) -> Row:
        key = Key.of(self.index, received)
        async with connection(self._pool) as db, db.transaction():
            row = await _locked(db, key)
            verdict, known = decide(Known(row.last_offset, row.positions, row.source_version), received)
            if verdict == "seen":
                return row
            if await _is_being_restored(db, key, version):
                raise Unavailable("restore", "earlier versions of this document are still read from the log again")
            if row.phase == "writing" and row.passages is not None:  # nobody finished it, and nobody will
                await _leave(db, key, row.last_offset, row.passages)
            if verdict == "new":
                if leave_live and row.live_version is not None:
                    await _leave(db, key, row.live_version, row.live_passages or 0)
                changed = change(row)
            else:
                changed = {"phase": _settled(row), "outcome": "outdated", "object_sha256": row.live_object}
            changed |= {"last_offset": version, "source_version": known.source_version, "waiting_for": None}
            changed |= {"code": None, "stage": None, "reason": None, "positions": Jsonb(known.positions)}
            return await _update(db, key, changed)

    async def count(self, key: Key, version: int, passages: int) -> bool:
        """Notes how many passages a version will have, before they are put; False: somebody else owns the document."""
        return await self._mine(f"update state.documents set passages = %(n)s where {MINE}", key, version, n=passages)

    async def flip(self, key: Key, version: int) -> tuple[Row, list[Leftover]] | None:
        """Makes a version live, and the one before it a leftover; None: somebody else owns the document."""
        async with connection(self._pool) as db, db.cursor() as cursor:
            await cursor.execute(FLIP.encode(), _args(key) | {"version": version})
            found = await cursor.fetchone()
        if found is None:
            return None
        old = [] if found[0] is None else [Leftover(key, found[0], found[1])]
        return Row(*found[2:]), old

    async def recount(self, key: Key, version: int, passages: int) -> bool:
        """Notes how many passages the live version will have when it is made anew; False: it is not live any more."""
        more = "greatest(live_passages, %(n)s)"  # whatever may lie in the index is deleted with it one day
        live = f"{WHERE} and live_version = %(version)s"
        return await self._mine(
            f"update state.documents set live_passages = {more} where {live}", key, version, n=passages
        )

    async def lose(self, key: Key, version: int, stage: str, code: str, reason: str) -> bool:
        """A live version that cannot be made anew is live no more; False: it was not."""
        return await self._mine(
            f"""update state.documents set live_version = null, live_digest = null, live_passages = null,
              live_readers = null, live_object = null, phase = 'failed', outcome = 'failed', stage = %(stage)s,
              code = %(code)s, reason = %(reason)s
            where {WHERE} and live_version = %(version)s and phase <> 'writing'""",
            key,
            version,
            stage=stage,
            code=code,
            reason=reason.replace("\0", "")[:2000],
        )

    async def fail(self, key: Key, version: int, stage: str, code: str, reason: str) -> bool:
        """Gives a version up; the one before it stays live."""
        return await self._mine(
            f"""with old as (select * from state.documents where {MINE} for update),
            left_over as (insert into state.leftovers (index, collection_id, document_id, version, passages)
              select index, collection_id, document_id, last_offset, passages from old
              where passages is not null on conflict do nothing)
            update state.documents d set phase = 'failed', outcome = 'failed', waiting_for = null,
              stage = %(stage)s, code = %(code)s, reason = %(reason)s
            from old where d.index = old.index and d.collection_id = old.collection_id
              and d.document_id = old.document_id""",
            key,
            version,
            stage=stage,
            code=code,
            reason=reason.replace("\0", "")[:2000],
        )

    async def waits(self, key: Key, version: int, server: str) -> None:
        """Says for which server a version waits."""
        await self._mine(
            f"update state.documents set waiting_for = %(server)s where {MINE}", key, version, server=server
        )

    async def removed(self, key: Key, version: int) -> Row:
        """Notes that a withdrawn document's passages are gone, the first time; gives the row."""
        async with connection(self._pool) as db, db.transaction():
            row = await _locked(db, key)
            if row.last_offset == version and row.phase == "withdrawn" and row.index_at is None:
                return await _update(db, key, {"index_at": datetime.now().astimezone()})
            return row

    async def look(self, key: Key) -> Row:
        """The row as it is."""
        async with connection(self._pool) as db, db.transaction():
            return await _locked(db, key)

    async def leftovers(self, key: Key) -> list[Leftover]:
        """What must be deleted of one document."""
        async with connection(self._pool) as db:
            rows = await db.execute(f"select version, passages from state.leftovers where {WHERE}", _args(key))
            return [Leftover(key, version, passages) async for version, passages in rows]

    async def swept(self, leftover: Leftover) -> None:
        """Its passages are deleted."""
        async with connection(self._pool) as db:
            args = _args(leftover.key) | {"version": leftover.version}
            await db.execute(f"delete from state.leftovers where {WHERE} and version = %(version)s", args)

    async def _mine(self, query: str, key: Key, version: int, **more: Any) -> bool:
        async with connection(self._pool) as db:
            done = await db.execute(query.encode(), _args(key) | {"version": version} | more)
            return done.rowcount == 1


def _settled(row: Row) -> str:
    """The phase without the version that was being written."""
    return row.phase if row.phase != "writing" else "live" if row.live_version is not None else "failed"


def _args(key: Key) -> dict[str, Any]:
    return {"index": key.index, "collection": key.collection_id, "document": key.document_id}


async def _locked(db: Connection, key: Key) -> Row:
    """The row of a document, made when it is missing, held until the transaction ends."""
    async with db.cursor(row_factory=class_row(Row)) as cursor:
        await cursor.execute(LOCK.encode(), _args(key))
        found = await cursor.fetchone()
    assert found is not None
    return found


async def _is_being_restored(db: Connection, key: Key, version: int) -> bool:
    """Whether older versions are still to be restored: before that nothing is known of them to decide with."""
    query = f'select exists (select 1 from state.restores where {WHERE} and "offset" < %(version)s)'
    row = await (await db.execute(query.encode(), _args(key) | {"version": version})).fetchone()
    return bool(row and row[0])


async def _update(db: Connection, key: Key, changed: dict[str, Any]) -> Row:
    sets = ", ".join(f"{column} = %({column}_)s" for column in changed)
    args = _args(key) | {f"{column}_": value for column, value in changed.items()}
    async with db.cursor(row_factory=class_row(Row)) as cursor:
        query = f"update state.documents set {sets} where {WHERE} returning {COLUMNS}"
        await cursor.execute(query.encode(), args)
        found = await cursor.fetchone()
    assert found is not None
    return found


async def _leave(db: Connection, key: Key, version: int, passages: int) -> None:
    insert = """insert into state.leftovers (index, collection_id, document_id, version, passages)
      values (%(index)s, %(collection)s, %(document)s, %(version)s, %(passages)s) on conflict do nothing"""
    await db.execute(insert, _args(key) | {"version": version, "passages": passages})
