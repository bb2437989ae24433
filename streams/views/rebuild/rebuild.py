"""Makes the views anew: beside the live ones, up to their offsets, compared with them, then put in their place."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import psycopg

from infra.postgres.pool import Connection, conninfo
from infra.settings import Settings
from schemas.errors import Invalid, Unavailable
from streams.dead_letters import StopWorker
from streams.views.folds import FOLDS
from streams.views.offsets import folded_offsets
from streams.views.rebuild.compare import Difference, difference, digests, standing_still
from streams.views.rebuild.fold_anew import AnewFolder
from streams.views.rebuild.schemas import NEXT, clone, drop
from streams.views.rebuild.switch import analyse, drop_before, migrations, switch

REBUILDING = 7425  # the advisory lock of the one rebuild
NEAR = 500  # records behind the live views that are few enough to compare, and to switch
Heard = Callable[[str, int, int], None]  # what is done, how much of it, of how much


@dataclass
class Report:
    """What became of it."""

    records: int = 0
    skipped: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    """Rows of each table that was compared."""
    differences: list[Difference] = field(default_factory=list)
    switched: bool = False


def _silent(_what: str, _done: int, _of: int) -> None:
    """Nobody listens."""


async def rebuild(settings: Settings, *, check: bool = False, accept: bool = False, heard: Heard = _silent) -> Report:
    """Switches when nothing differs, or it is accepted, and this is no mere check; raises Invalid or Unavailable."""
    try:
        async with _opened(settings) as (owner, live):
            migrated = await migrations(owner)
            await clone(owner)
            try:
                async with AnewFolder.open(settings, FOLDS) as anew:
                    report = await _compared(live, anew, heard)
                    if not check and (accept or not report.differences):
                        await _switch(owner, live, anew, migrated, heard)
                        report.switched = True
                    report.records, report.skipped = sum(anew.folded.values()), anew.skipped.records
                    return report
            finally:
                if not owner.closed:
                    await drop(owner, NEXT)
    except psycopg.errors.LockNotAvailable as exc:
        raise Invalid(
            "somebody holds the views in a transaction that does not end: `pg_stat_activity` shows whose it is. "
            "The views are as they were; start again when it is over"
        ) from exc
    except psycopg.OperationalError as exc:
        raise Unavailable("postgres", str(exc).partition("\n")[0]) from exc
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as exc:
        raise Invalid("there are no views yet: was this database provisioned?") from exc
    except StopWorker as exc:
        raise Invalid(str(exc)) from exc


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Connection, Connection]]:
    """The owner's connection, with the lock that only one rebuild has, and one that reads the live views."""
    connect = psycopg.AsyncConnection.connect
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(await connect(conninfo(settings, "owner"), autocommit=True))
        live = await stack.enter_async_context(await connect(conninfo(settings, "views"), autocommit=True))
        row = await (await owner.execute("select pg_try_advisory_lock(%s)", [REBUILDING])).fetchone()
        if not row or not row[0]:
            raise Invalid("the views are being made anew already, by another run of this command")
        await drop_before(owner)  # of a run that was killed between the two
        yield owner, live


async def _switch(owner: Connection, live: Connection, anew: AnewFolder, migrated: list[str], heard: Heard) -> None:
    await analyse(owner)
    await _come_near(live, anew, heard)
    heard("switch", 0, 0)
    await switch(owner, live, anew, migrated)


async def _come_near(live: Connection, anew: AnewFolder, heard: Heard) -> None:
    """Folds until few records are missing; the live views move on meanwhile."""
    bound = await folded_offsets(live, anew.ids)
    while sum(bound.values()) - sum(anew.folded.values()) > NEAR:
        await anew.up_to(bound, lambda done, of: heard("fold", done, of))
        bound = await folded_offsets(live, anew.ids)


async def _compared(live: Connection, anew: AnewFolder, heard: Heard) -> Report:
    """At the same offsets, on both sides."""
    report = Report()
    await _come_near(live, anew, heard)
    async with standing_still(live):
        bound = await folded_offsets(live, anew.ids)
        heard("compare", 0, 0)
        wanted = await digests(live)
        await anew.up_to(bound)
        found = await digests(anew.db)
        report.tables = {table: rows for table, (rows, *_) in wanted.items()}
        async with anew.db.transaction():
            for table in wanted:
                if wanted[table] != found[table]:
                    report.differences.append(await difference(table, live, anew.db))
    return report
