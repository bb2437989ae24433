"""The log, read without a group and without a database: partitions by key, offsets by time, headers before bodies."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from infra.kafka.records import Record
from infra.settings import Settings
from schemas.errors import Unavailable
from topics.catalogue import Topic

BATCH = 10_000
SECONDS = 10.0  # how long the broker may say nothing
Wanted = Callable[[Message], bool]
Keys = Collection[bytes]


@dataclass(frozen=True)
class Span:
    """Offsets of one partition, `start` up to and without `end`."""

    topic: Topic
    partition: int
    start: int
    end: int

    @property
    def records(self) -> int:
        """How many there are at most."""
        return max(0, self.end - self.start)


def partition_of(key: bytes, partitions: int) -> int:
    """Where every producer of ours puts a key: murmur2, as in Kafka's own default partitioner."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def everything(_: Message) -> bool:
    """Every record is wanted."""
    return True


class Log:
    """The broker, as somebody who only reads. Its methods raise Unavailable while it is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def spans(
        self, topic: Topic, *, keys: Keys | None = None, since: int | None = None, until: int | None = None
    ) -> list[Span]:
        """What lies on a topic now: of some keys' partitions only, from and up to a time (ms since the Unix epoch)."""
        return await asyncio.to_thread(self._spans, topic, keys, since, until)

    async def read(self, spans: Iterable[Span], wanted: Wanted = everything) -> AsyncIterator[list[Record]]:
        """Their records in batches, in order within a partition; only those wanted leave the client's buffers."""
        left = {(self._settings.kafka_name(span.topic), span.partition): span for span in spans if span.records}
        with self._consumer() as consumer:
            consumer.assign([TopicPartition(name, part, span.start) for (name, part), span in left.items()])
            while left:
                yield await asyncio.to_thread(_batch, consumer, left, wanted)

    def _partitions(self, topic: Topic) -> int:
        name = self._settings.kafka_name(topic)
        with self._consumer() as consumer:
            found = consumer.list_topics(name, timeout=SECONDS / 2).topics.get(name)
            return 0 if found is None or found.error is not None else len(found.partitions)

    def _spans(self, topic: Topic, keys: Keys | None, since: int | None, until: int | None) -> list[Span]:
        name, count = self._settings.kafka_name(topic), self._partitions(topic)
        numbers = set(range(count)) if keys is None or not count else {partition_of(key, count) for key in keys}
        with self._consumer() as consumer:
            marks = {n: consumer.get_watermark_offsets(TopicPartition(name, n), timeout=SECONDS) for n in numbers}
            starts, ends = _at(consumer, name, numbers, since), _at(consumer, name, numbers, until)
        return [
            Span(topic, n, max(low, starts.get(n, low)), min(high, ends.get(n, high)))
            for n, (low, high) in marks.items()
        ]

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "group.id": "audit",  # the client wants one; nothing is ever committed under it
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 65536,
                "log_level": 2,
            }
        )
        try:
            yield consumer
        except KafkaException as exc:
            raise _away(exc.args[0]) from exc
        finally:
            consumer.close()


def _at(consumer: Consumer, name: str, numbers: Iterable[int], at: int | None) -> dict[int, int]:
    """The first offset of each partition at or after a time; none where there is no such record."""
    if at is None:
        return {}
    asked = [TopicPartition(name, n, max(0, at)) for n in numbers]
    found = consumer.offsets_for_times(asked, timeout=SECONDS)
    return {each.partition: _offset(consumer, each) for each in found}


def _offset(consumer: Consumer, found: TopicPartition) -> int:
    """librdkafka says -1 for a time after the last record."""
    if found.offset >= 0:
        return int(found.offset)
    return int(consumer.get_watermark_offsets(TopicPartition(found.topic, found.partition), timeout=SECONDS)[1])


def _batch(consumer: Consumer, left: dict[tuple[str, int], Span], wanted: Wanted) -> list[Record]:
    """One batch; takes out of `left` what was read to its end."""
    found: list[Record] = []
    first = consumer.consume(1, timeout=SECONDS)  # a call that wants more waits until it has them, or for its timeout
    if not first:
        raise Unavailable("kafka", f"it said nothing for {SECONDS:.0f} s")
    for message in cast(list[Any], first + consumer.consume(BATCH, timeout=0)):  # stubs: messages that lie nowhere
        place = (message.topic(), message.partition())
        span = left.get(place)
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                left.pop(place, None)
            elif not error.retriable():
                raise _away(error)
            continue
        if span is None:
            continue
        if message.offset() < span.end and wanted(message):
            found.append(_record(message, span.topic))
        if message.offset() + 1 >= span.end:
            del left[place]
            consumer.pause([TopicPartition(*place)])
    return found


def _record(message: Any, topic: Topic) -> Record:
    return Record(
        topic=topic.name,
        partition=message.partition(),
        offset=message.offset(),
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=message.headers() or (),
    )


def _away(error: Any) -> Unavailable:
    return Unavailable("kafka", error.str() if isinstance(error, KafkaError) else str(error))
