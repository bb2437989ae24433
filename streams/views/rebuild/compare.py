"""The live views and those made anew: the same rows, or else which differ, and in which columns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from infra.postgres.pool import Connection

SAMPLES = 10
TABLES = """select relname from pg_class where relnamespace = to_regnamespace(current_schema()) and relkind = 'r'
  and relname <> 'offsets' order by relname"""
KEY = """select attname from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)
  where indrelid = to_regclass(%s) and indisprimary order by array_position(indkey, attnum)"""
# Sums of both halves of each row's hash: no order, no sorting, and nothing that grows with the table.
DIGEST = sql.SQL("""select count(*), coalesce(sum(('x' || left(hash, 16))::bit(64)::bigint), 0)::text,
  coalesce(sum(('x' || right(hash, 16))::bit(64)::bigint), 0)::text
  from (select md5(t::text) hash from {table} t) hashed""")
# Bytes are in the same order here and there.
HASHES = sql.SQL("""select convert_to(array[{key}]::text, 'UTF8'), array[{key}], md5(t::text)
  from {table} t order by 1""")
COLUMNS = sql.SQL("""select each.name, md5(each.value::text) from {table} t, jsonb_each(to_jsonb(t)) each(name, value)
  where array[{key}] = %s""")
Digests = dict[str, tuple[int, str, str]]
Hashed = tuple[bytes, list[str], str]


@dataclass(frozen=True)
class Sample:
    """A row that differs: its primary key, and what of it does; no value of any other column."""

    key: str
    says: str


@dataclass
class Difference:
    """How a table made anew differs from the live one."""

    table: str
    only_live: int = 0
    only_anew: int = 0
    other: int = 0
    samples: list[Sample] = field(default_factory=list)

    def note(self, key: list[str], says: str) -> None:
        """One more row that differs."""
        if len(self.samples) < SAMPLES:
            self.samples.append(Sample("/".join(key), says))


@asynccontextmanager
async def standing_still(db: Connection) -> AsyncIterator[None]:
    """A transaction that sees everything as it is at its first statement, whatever others write meanwhile."""
    async with db.transaction():
        await db.execute("set transaction isolation level repeatable read, read only")
        yield


async def digests(db: Connection) -> Digests:
    """Of each table that this connection finds: how many rows, and two sums of their hashes."""
    found = {}
    for (table,) in await (await db.execute(TABLES)).fetchall():
        row = await (await db.execute(DIGEST.format(table=sql.Identifier(table)))).fetchone()
        assert row is not None
        found[table] = (int(row[0]), str(row[1]), str(row[2]))
    return found


async def difference(table: str, live: Connection, anew: Connection) -> Difference:
    """What differs in a table; both connections are within a transaction."""
    key = [name async for (name,) in await live.execute(KEY, [table])]
    found = Difference(table)
    async for one, other in _side_by_side(_hashes(live, table, key), _hashes(anew, table, key)):
        if other is None:
            assert one is not None
            found.only_live += 1
            found.note(one[1], "only in the live views")
        elif one is None:
            found.only_anew += 1
            found.note(other[1], "only in those made anew")
        elif one[2] != other[2]:
            found.other += 1
            if len(found.samples) < SAMPLES:
                mine, theirs = [await _columns(db, table, key, one[1]) for db in (live, anew)]
                found.note(one[1], "other: " + ", ".join(sorted(n for n in mine if mine[n] != theirs.get(n))))
    return found


async def _side_by_side(
    live: AsyncIterator[Hashed], anew: AsyncIterator[Hashed]
) -> AsyncIterator[tuple[Hashed | None, Hashed | None]]:
    """The rows of both in the order of their keys, those with the same key together."""
    one, other = await anext(live, None), await anext(anew, None)
    while one or other:
        first = min(row[0] for row in (one, other) if row)
        both = tuple(row if row and row[0] == first else None for row in (one, other))
        yield both[0], both[1]
        one = await anext(live, None) if both[0] else one
        other = await anext(anew, None) if both[1] else other


async def _hashes(db: Connection, table: str, key: list[str]) -> AsyncIterator[Hashed]:
    async with db.cursor(name=f"hashes_of_{table}") as cursor:
        await cursor.execute(HASHES.format(table=sql.Identifier(table), key=_texts(key)))
        async for row in cursor:
            yield row


async def _columns(db: Connection, table: str, key: list[str], values: list[str]) -> dict[str, Any]:
    rows = await db.execute(COLUMNS.format(table=sql.Identifier(table), key=_texts(key)), [values])
    return {name: value async for name, value in rows}


def _texts(key: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in key)
