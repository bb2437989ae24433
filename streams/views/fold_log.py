"""kept topics -> views.*: partitions in order, in batches, with the offsets in the same transaction."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from infra.kafka.header_names import take_any_name
from infra.kafka.identity import topic_ids
from infra.kafka.records import Received
from infra.postgres.freshness import CHANNEL, Offsets, notice
from infra.postgres.pool import Connection, conninfo
from infra.settings import Settings
from infra.waiting import backoff_seconds
from schemas.errors import Invalid, Unavailable
from schemas.event import Event
from streams.dead_letters import StopWorker
from streams.views.decoding import Decoding
from streams.views.folds import Fold
from streams.views.offsets import Fenced, known_offsets, move_offsets
from streams.views.progress import Progress
from streams.watchdog import Glance, Watchdog
from topics.catalogue import Topic

BATCH = 500  # records a transaction folds at most
LEADER = 7423  # the advisory lock of the one worker that folds; others stand by
WATCH_SECONDS = 5
STANDBY_SECONDS = 1
CANCEL_SECONDS = 5
AWAY = ("08", "40", "53", "57", "58")  # SQLSTATE classes that pass: connection, deadlock, resources, shutdown, system
REFUSED = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded)  # by a record's values: no waiting mends that
Events = dict[str, list[Received[Event]]]
log = structlog.get_logger()


class LogFolder:
    """Folds kept topics into the tables of one database."""

    def __init__(self, settings: Settings, folds: Sequence[Fold], decoding: Decoding, progress: Progress) -> None:
        self._settings, self._folds, self._decoding, self.progress = settings, folds, decoding, progress
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
        async with self._consuming() as consumer:
            await self._check_ends(consumer)
            tasks = [asyncio.create_task(job) for job in (self._watch(consumer), self._fold_on(db, consumer))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                done.pop().result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks, timeout=CANCEL_SECONDS)

    @asynccontextmanager
    async def _consuming(self) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer without a group, on every partition, at the folded offsets."""
        take_any_name()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=self._settings.limits.record_bytes,
        )
        try:
            await consumer.start()
            places = self._places()
            consumer.assign(list(places))  # nothing awaited before the seeks: aiokafka's own reset would win
            for place, known in places.items():
                consumer.seek(place, self.progress.folded[known])
            yield consumer
        except OffsetOutOfRangeError as exc:
            raise Invalid(f"a kept topic lost records that were not folded yet: {exc}") from exc
        except KafkaError as exc:
            raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
        finally:
            await consumer.stop()

    def _places(self) -> dict[TopicPartition, tuple[str, int]]:
        return {TopicPartition(self._settings.kafka_name(t), p): (t, p) for t, p in self.progress.folded}

    async def _check_ends(self, consumer: AIOKafkaConsumer) -> None:
        places = self._places()
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
            await self._fold(db, fetched)
        if 0 < sum(map(len, fetched.values())) < BATCH:
            await asyncio.sleep(self._settings.limits.views_wait_seconds)

    async def _fold(self, db: Connection, fetched: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        events: Events = defaultdict(list)
        moved: Offsets = {}
        for place in sorted(fetched):
            topic = self._settings.plain_name(place.topic)
            events[topic] += await self._decoding.decode(topic, fetched[place])
            moved[topic, place.partition] = fetched[place][-1].offset + 1
        try:
            await self._write(db, events, moved)
        except (*REFUSED, StopWorker):  # one by one they show which
            await self._write(db, await self._acceptable(db, events, fetched), moved)
        self.progress.moved(moved)

    async def _write(self, db: Connection, events: Events, moved: Offsets) -> None:
        async with db.transaction():
            await move_offsets(db, self._ids, self.progress.folded, moved)
            for fold in self._folds:
                if events[fold.topic.name]:
                    await _run(fold, db, events[fold.topic.name])
            await db.execute("select pg_notify(%s, %s)", [CHANNEL, notice(moved)])

    async def _acceptable(
        self, db: Connection, events: Events, fetched: dict[TopicPartition, list[ConsumerRecord]]
    ) -> Events:
        """The events whose values the database takes, tried one by one; the others become dead letters."""
        records = {(place.topic, one.partition, one.offset): one for place, many in fetched.items() for one in many}
        kept: Events = defaultdict(list)
        for fold in self._folds:
            name = fold.topic.name
            for event in events[name]:
                try:
                    async with db.transaction(force_rollback=True):
                        await _run(fold, db, [event])
                except REFUSED as exc:
                    record = records[self._settings.kafka_name(fold.topic), event.partition, event.offset]
                    await self._decoding.bury(name, record, f"the views cannot hold it: {exc}")
                else:
                    kept[name].append(event)
        return kept


async def _run(fold: Fold, db: Connection, events: Sequence[Received[Event]]) -> None:
    """Folds; raises StopWorker for what neither waiting nor a dead letter mends: that is our bug."""
    try:
        await fold.fold(db, events)
    except (*REFUSED, psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except Exception as exc:
        places = ", ".join(f"{event.partition}:{event.offset}" for event in events[:5])
        raise StopWorker(f"a fold of {fold.topic.name} crashed at {places} (partition:offset): {exc!r}") from exc


async def _locked(db: Connection) -> bool:
    row = await (await db.execute("select pg_try_advisory_lock(%s)", [LEADER])).fetchone()
    return bool(row and row[0])
