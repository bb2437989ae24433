"""How far the views are behind the log, and whether somebody folds: for people who ask from outside."""

from dataclasses import dataclass

import psycopg

from infra.postgres.freshness import ends_now
from infra.postgres.pool import conninfo
from infra.settings import Settings
from schemas.errors import Invalid, Unavailable
from streams.views.fold_log import LEADER
from streams.views.folds import FOLDS

LED = """select exists (select 1 from pg_locks where locktype = 'advisory' and granted
  and (classid, objid, objsubid) = (0, %s, 1)
  and database = (select oid from pg_database where datname = current_database()))"""


@dataclass(frozen=True)
class Lag:
    """One partition: records folded, where it ends, and how many are missing."""

    topic: str
    partition: int
    folded: int
    end: int
    lag: int


@dataclass(frozen=True)
class ViewsStatus:
    """`folding`: a worker holds the lock of the one that folds."""

    folding: bool
    lag: int
    partitions: list[Lag]


async def views_status(settings: Settings) -> ViewsStatus:
    """What is folded, then where the log ends; raises Unavailable, or Invalid when there are no views."""
    try:
        async with await psycopg.AsyncConnection.connect(conninfo(settings, "views"), autocommit=True) as db:
            rows = await db.execute("select topic, partition, next_offset from offsets")
            folded = {(topic, partition): offset async for topic, partition, offset in rows}
            led = await (await db.execute(LED, [LEADER])).fetchone()
    except psycopg.OperationalError as exc:
        raise Unavailable("postgres", str(exc).partition("\n")[0]) from exc
    except psycopg.errors.UndefinedTable as exc:
        raise Invalid("there are no views yet: was this database provisioned?") from exc
    ends = await ends_now(settings, [fold.topic for fold in FOLDS])
    lags = [Lag(*at, folded.get(at, 0), end, max(0, end - folded.get(at, 0))) for at, end in sorted(ends.items())]
    return ViewsStatus(bool(led and led[0]), sum(each.lag for each in lags), lags)
