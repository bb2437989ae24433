"""Puts `views_next` in the place of `views`: in one transaction, while the live worker waits before its next batch."""

import asyncio
import time
from contextlib import suppress

import psycopg
from psycopg import sql

from infra.postgres.freshness import CHANNEL, notice
from infra.postgres.migrate import MIGRATING
from infra.postgres.pool import Connection
from schemas.errors import Invalid, Unavailable
from streams.views.offsets import folded_offsets
from streams.views.rebuild.fold_anew import AnewFolder
from streams.views.rebuild.schemas import BEFORE, NEXT, Policy, drop, policies_outside

LOCK_TIMEOUT = "set local lock_timeout = '10s'"
TABLES = "select relname from pg_class where relnamespace = 'views_next'::regnamespace and relkind = 'r'"
LAST_SECONDS = 20  # for the last records, while the live views stand still
OTHERS_SECONDS = 3
# Transactions of others that do not wait for us: the live worker does, before its next batch.
OTHERS = """select virtualtransaction from pg_locks l join pg_stat_activity a using (pid)
  where locktype = 'virtualxid' and granted and pid <> pg_backend_pid() and usesysid is not null
    and a.datname = current_database() and not pg_backend_pid() = any(pg_blocking_pids(pid))"""


async def migrations(owner: Connection) -> list[str]:
    """What this database was migrated with."""
    rows = await owner.execute("select name from public.migrations order by name")
    return [name async for (name,) in rows]


async def switch(owner: Connection, live: Connection, anew: AnewFolder, migrated: list[str]) -> None:
    """Puts the views made anew in place of the live ones, at the live offsets; raises Invalid or Unavailable.

    Whoever reads goes on: names are looked up again when schemas were renamed, also by prepared statements. So is that
    of the live worker's statement which waits here for the offsets: it goes on in the new ones, which are the same.
    """
    async with owner.transaction():
        await owner.execute(LOCK_TIMEOUT)
        await owner.execute("select pg_advisory_xact_lock(%s)", [MIGRATING])
        if await migrations(owner) != migrated:
            raise Invalid("the database was migrated meanwhile: start again, with the new tables")
        await owner.execute("lock table views.offsets in exclusive mode")
        bound = await folded_offsets(live, anew.ids)
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await anew.up_to(bound)
        except TimeoutError as exc:
            raise Unavailable("kafka", f"the last records took more than {LAST_SECONDS} s; nothing changed") from exc
        await _others_over(owner)  # whoever looked before the last records were folded sees the old tables to the end
        policies = await policies_outside(owner)
        await owner.execute("alter schema views rename to views_before")
        await owner.execute("alter schema views_next rename to views")
        await _follow(owner, policies)
        await owner.execute("select pg_notify(%s, %s)", [CHANNEL, notice(bound)])
    with suppress(psycopg.errors.LockNotAvailable):  # somebody reads for long: the next rebuild removes them
        await drop_before(owner)


async def drop_before(owner: Connection) -> None:
    """Removes the views of before, when there are any, once nobody is in the middle of reading them."""
    await _others_over(owner)
    async with owner.transaction():
        await owner.execute(LOCK_TIMEOUT)
        await drop(owner, BEFORE)


async def analyse(owner: Connection) -> None:
    """Lets the planner know the new tables before anybody asks them."""
    rows = await owner.execute(TABLES)
    for (table,) in await rows.fetchall():
        await owner.execute(sql.SQL("analyze {}").format(sql.Identifier(NEXT, table)))


async def _follow(owner: Connection, policies: list[Policy]) -> None:
    """Policies of tables elsewhere look into the new tables from now on."""
    await owner.execute("set local search_path = views")
    for policy in policies:
        names = [sql.Identifier(policy.name), sql.Identifier(policy.schema, policy.table)]
        await owner.execute(sql.SQL("alter policy {} on {}").format(*names).as_bytes(owner) + policy.says.encode())


async def _others_over(owner: Connection) -> None:
    """Waits for the transactions that are under way now; not for ever: somebody may have left one open."""
    wanted = {number async for (number,) in await owner.execute(OTHERS)}
    until = time.monotonic() + OTHERS_SECONDS
    while wanted and time.monotonic() < until:
        await asyncio.sleep(0.005)
        wanted &= {number async for (number,) in await owner.execute(OTHERS)}
