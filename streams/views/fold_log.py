"""kept topics -> views.*: partitions in order, in batches, with the offsets in the same transaction."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
import structlog
from aiokafka import AIOKafkaConsumer

from infra.kafka.consumers import fetch_apart
from infra.kafka.identity import topic_ids
from infra.postgres.pool import Connection, conninfo
from infra.settings import Settings
from infra.waiting import backoff_seconds
from schemas.errors import Invalid, Unavailable
from streams.views.consuming import consuming, places_of
from streams.views.decoding import Decoding
from streams.views.folds import Fold
from streams.views.offsets import Fenced, known_offsets
from streams.views.progress import Progress
from streams.views.write_batch import Writer
from streams.watchdog import Glance, Watchdog
from topics.catalogue import Topic

BATCH = 500  # records a transaction folds at most
LEADER = 7423  # the advisory lock of the one worker that folds; others stand by
WATCH_SECONDS = 5
STANDBY_SECONDS = 1
CANCEL_SECONDS = 5
AWAY = ("08", "40", "53", "57", "58")  # SQLSTATE classes that pass: connection, deadlock, resources, shutdown, system
log = structlog.get_logger()


class LogFolder:
    """Folds kept topics into the tables of one database."""

    def __init__(self, settings: Settings, folds: Sequence[Fold], decoding: Decoding, progress: Progress) -> None:
        self._settings, self.progress = settings, progress
        self._writer = Writer(settings, folds, decoding)
        self._topics: tuple[Topic, ...] = tuple(dict.fromkeys(fold.topic for fold in folds))
        self._ids: dict[str, str] = {}

    async def run(self) -> None:
        """Folds for ever; raises Invalid when the log is not the one folded before, StopWorker or Stalled."""
        tried = 0
        while True:
            try:
                async with self._leading() as db:
                    tried = 0
                    await self._follow(db)
            except (Unavailable, Fenced) as exc:
                self.progress.waits(str(exc))
                log.warning("the views wait", reason=str(exc))
                await asyncio.sleep(backoff_seconds(tried, 3))
                tried += 1

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[Connection]:
        """The connection of the one worker that folds; a second waits here, and takes over when the first is gone."""
        try:
            async with await psycopg.AsyncConnection.connect(conninfo(self._settings, "views"), autocommit=True) as db:
                while not await _locked(db):
                    self.progress.stands_by()
                    await asyncio.sleep(STANDBY_SECONDS)
                yield db
        except psycopg.OperationalError as exc:
            if exc.sqlstate and not exc.sqlstate.startswith(AWAY):
                raise  # too large, too complex: no waiting mends that
            raise Unavailable("postgres", str(exc).partition("\n")[0]) from exc

    async def _follow(self, db: Connection) -> None:
        self._ids = await topic_ids(self._settings, self._topics)
        try:
            self.progress.moved(await known_offsets(db, self._topics, self._ids))
        except psycopg.errors.UndefinedTable as exc:
            raise Unavailable("postgres", "the tables of the views are not made yet") from exc
        async with consuming(self._settings, self.progress.folded) as consumer:
            await self._check_ends(consumer)
            tasks = [asyncio.create_task(job) for job in (self._watch(consumer), self._fold_on(db, consumer))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                done.pop().result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks, timeout=CANCEL_SECONDS)

    async def _check_ends(self, consumer: AIOKafkaConsumer) -> None:
        places = places_of(self._settings, self.progress.folded)
        found = await consumer.end_offsets(list(places))
        self.progress.ends_at({places[place]: end for place, end in found.items()})
        for place, end in self.progress.ends.items():
            if end < self.progress.folded[place]:
                raise Invalid(
                    f"{place[0]}/{place[1]} ends at {end}, but {self.progress.folded[place]} records were folded: "
                    "the log lost records"
                )

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        """Looks at ends, ids and progress; ends only by raising Invalid, Unavailable or Stalled."""
        watchdog = Watchdog(time.monotonic(), self._settings.limits.stalled_seconds)
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self._check_ends(consumer)  # first: it says when the broker is away, ids are waited for
            if await topic_ids(self._settings, self._topics) != self._ids:
                raise Invalid("a kept topic was made anew under the running views: its offsets mean other records now")
            moved = sum(self.progress.folded.values())
            watchdog.see(Glance(self.progress.behind, moved, busy=False), time.monotonic())

    async def _fold_on(self, db: Connection, consumer: AIOKafkaConsumer) -> None:
        while True:
            await self._fold_next(db, consumer)

    async def _fold_next(self, db: Connection, consumer: AIOKafkaConsumer) -> None:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=BATCH)
        if fetched:
            self.progress.moved(await self._writer.write(db, self._ids, self.progress.folded, fetched))
        behind = sum(map(len, fetched.values())) >= BATCH
        fetch_apart(consumer, 0 if behind else self._settings.limits.views_wait_seconds)


async def _locked(db: Connection) -> bool:
    row = await (await db.execute("select pg_try_advisory_lock(%s)", [LEADER])).fetchone()
    return bool(row and row[0])
