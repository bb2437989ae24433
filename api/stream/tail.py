"""answers-live -> memory: every replica tails all of it, so that any replica can serve any stream."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from api.stream.answer import Answer
from api.stream.follow import Trouble
from infra.kafka.consumers import mend_consumers
from infra.postgres.pool import Pool, connection
from infra.settings import Settings
from infra.waiting import backoff_seconds, end, until_available
from schemas.answers import AnswerEnded
from schemas.codec import Codec
from schemas.errors import Unavailable, Undecodable
from schemas.event import Event
from topics.catalogue import ANSWERS_LIVE

BEFORE_MS = 60_000  # a claim's clock and the broker's may differ
SWEEP_SECONDS = 1.0
SWEEP_SILENT_SECONDS = 600.0
OLDEST_CLAIM = "select extract(epoch from app.oldest_claim(%s)) * 1000"
log = structlog.get_logger()


class Tail:
    """The running answers, and for a moment the ended ones."""

    def __init__(self, settings: Settings, codec: Codec, db: Pool) -> None:
        self._settings, self._limits, self._codec, self._db = settings, settings.limits, codec, db
        self._answers: dict[str, Answer] = {}
        self._ended: deque[tuple[float, str, Answer]] = deque()
        self._ended_bytes = 0
        self._following: AIOKafkaConsumer | None = None
        self._read: dict[TopicPartition, int] = {}  # up to where, of the partitions on which anything came
        self.lag = 0  # records that the broker told of in its last answers and that are not read yet
        self.trouble = Trouble()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, codec: Codec, db: Pool) -> AsyncIterator["Tail"]:
        """Returns when it has read what was there when it began; reads on for as long as it is open."""
        tail = cls(settings, codec, db)
        caught_up = asyncio.Event()
        tasks = [asyncio.create_task(job) for job in (tail._follow(caught_up), tail._sweep(), tail._sweep_silent())]
        try:
            await caught_up.wait()
            yield tail
        finally:
            await end(tasks)

    @contextmanager
    def reading(self, turn_id: str) -> Iterator[Answer]:
        """The answer of a turn, kept while somebody reads it; one that nothing was heard of yet begins empty."""
        answer = self._answers.get(turn_id)
        if answer is None:
            answer = self._answers[turn_id] = Answer()
        answer.readers += 1
        try:
            yield answer
        finally:
            answer.readers -= 1
            if not answer.readers and not answer.attempt and self._answers.get(turn_id) is answer:
                del self._answers[turn_id]

    def readers_of(self, turn_id: str) -> int:
        """How many read a turn here."""
        answer = self._answers.get(turn_id)
        return answer.readers if answer else 0

    @property
    def answers(self) -> Iterable[Answer]:
        """All that are kept."""
        return list(self._answers.values())

    async def ask_broker(self) -> None:
        """Returns when the broker has answered; raises KafkaError when it does not for long."""
        if self._following is not None:
            await self._following.end_offsets([TopicPartition(self._settings.kafka_name(ANSWERS_LIVE), 0)])

    async def _follow(self, caught_up: asyncio.Event) -> None:
        """Reads until cancelled; a tail that breaks begins anew, and what it missed is held until its record comes."""
        tried = 0
        while True:
            try:
                async with self._consumer() as consumer:
                    await self._begin(consumer)
                    self._following = consumer
                    caught_up.set()
                    while True:
                        batch = await consumer.getmany(timeout_ms=10_000)
                        self._measure(consumer)
                        await self._take(batch)
                        self._measure(consumer)
                        tried = 0
            except (KafkaError, Unavailable) as exc:
                log.warning("the tail begins anew", reason=str(exc) or type(exc).__name__)
                await asyncio.sleep(backoff_seconds(tried, 3))
                tried += 1

    def _measure(self, consumer: AIOKafkaConsumer) -> None:
        self.lag = sum(max(0, (consumer.highwater(place) or 0) - read) for place, read in self._read.items())

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        mend_consumers()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_wait_ms=500,
            max_partition_fetch_bytes=2 * self._limits.record_bytes,
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()

    async def _begin(self, consumer: AIOKafkaConsumer) -> None:
        """Starts before the oldest answer that may still grow, and reads up to the ends that were taken first."""
        name = self._settings.kafka_name(ANSWERS_LIVE)
        places = [TopicPartition(name, n) for n in range(ANSWERS_LIVE.partitions)]
        ends = await consumer.end_offsets(places)
        oldest = await until_available("postgres", self._oldest_claim)
        starts = {}
        if oldest is not None:
            starts = await consumer.offsets_for_times(dict.fromkeys(places, max(0, oldest - BEFORE_MS)))
        self._read.clear()
        consumer.assign(places)  # nothing awaited before the seeks: aiokafka's own reset would win
        for place in places:
            start = starts.get(place)
            consumer.seek(place, min(ends[place], start.offset) if start else ends[place])
        while any([await consumer.position(place) < ends[place] for place in places]):
            await self._take(await consumer.getmany(timeout_ms=200))

    async def _oldest_claim(self) -> int | None:
        async with connection(self._db) as db:
            row = await (await db.execute(OLDEST_CLAIM, [2 * self._limits.turn_deadline_seconds])).fetchone()
            return None if row is None or row[0] is None else int(row[0])

    async def _take(self, batch: dict[TopicPartition, list[Any]]) -> None:
        for place, messages in batch.items():
            for message in messages:
                self._read[place] = message.offset + 1
                try:
                    headers = dict(message.headers)
                    event = await self._codec.decode(ANSWERS_LIVE.name, ANSWERS_LIVE.events, message.value, headers)
                except Undecodable as exc:
                    log.error("an unreadable record on answers-live", offset=message.offset, reason=str(exc))
                    continue
                self._apply(event)

    def _apply(self, event: Event) -> None:
        turn_id: str = event.turn_id  # type: ignore[attr-defined]
        answer = self._answers.get(turn_id)
        if answer is None:
            answer = self._answers[turn_id] = Answer()
        over = answer.ended is not None
        answer.apply(event)
        answer.touched = time.monotonic()
        if isinstance(event, AnswerEnded) and not over:
            self._ended.append((answer.touched, turn_id, answer))
            self._ended_bytes += answer.size

    async def _sweep(self) -> None:
        """Ended answers go after a while, the oldest first when there are too many; their records stay for ever."""
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, self._limits.ended_answers_seconds))
            old = time.monotonic() - self._limits.ended_answers_seconds
            while self._ended and (self._ended[0][0] < old or self._ended_bytes > self._limits.ended_answers_bytes):
                _, turn_id, answer = self._ended.popleft()
                self._ended_bytes -= answer.size
                self._forget(turn_id, answer)

    async def _sweep_silent(self) -> None:
        """Answers whose end was never heard of, though it must have come long ago."""
        while True:
            await asyncio.sleep(SWEEP_SILENT_SECONDS)
            silent = time.monotonic() - 2 * self._limits.turn_deadline_seconds
            for turn_id, answer in list(self._answers.items()):
                if answer.attempt and answer.touched < silent and not answer.readers:
                    self._forget(turn_id, answer)

    def _forget(self, turn_id: str, answer: Answer) -> None:
        if self._answers.get(turn_id) is answer:
            del self._answers[turn_id]
