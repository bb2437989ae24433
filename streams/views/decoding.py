"""Records to events for the folds; what cannot be read becomes a dead letter, and the next record goes on."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka import ConsumerRecord

from infra.kafka.records import Received, Record
from schemas.codec import Codec
from schemas.errors import Undecodable
from schemas.event import Event
from topics.catalogue import Topic


class Graves(Protocol):
    """What becomes of records that cannot be read: `Burial`, or nothing more, when they are dead letters already."""

    async def bury(self, record: Record, reason: str, /) -> None:
        """A record that cannot be read, or folded."""

    def count(self, record: Record, /) -> None:
        """One more in a row that cannot be read."""

    def readable(self, topic: str, /) -> None:
        """The row ends."""


class Decoding:
    """Reads the records of kept topics; the rule of dead letters in a row is Burial's."""

    def __init__(self, topics: Sequence[Topic], codec: Codec, burial: Graves) -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._codec, self._burial = codec, burial

    async def decode(self, topic: str, fetched: Sequence[ConsumerRecord]) -> list[Received[Event]]:
        """The events among some records, in order; raises StopWorker, or Unavailable (registry, broker)."""
        found = []
        for one in fetched:
            record = _record(topic, one)
            try:
                found.append(await self._received(record))
            except Undecodable as exc:
                await self._burial.bury(record, str(exc))
                self._burial.count(record)
            else:
                self._burial.readable(topic)
        return found

    async def bury(self, topic: str, fetched: ConsumerRecord, reason: str) -> None:
        """A record that was readable, and still cannot be folded; it does not count as one of a row."""
        await self._burial.bury(_record(topic, fetched), reason)

    async def _received(self, record: Record) -> Received[Event]:
        topic, headers = self._topics[record.topic], record.named_headers()
        if not record.key:
            raise Undecodable(f"a record without a key; the key of {topic.name} is the {topic.key}")
        event = await self._codec.decode(topic.name, topic.events, record.value, headers)
        return Received(
            without_nul(event), record.topic, record.partition, record.offset, record.key, record.timestamp_ms, headers
        )


def _record(topic: str, one: ConsumerRecord) -> Record:
    return Record(topic, one.partition, one.offset, one.timestamp, one.key, one.value, one.headers)


def without_nul(value: Any) -> Any:
    """The same with U+FFFD for NUL, which no text in Postgres holds: one hostile title must not stop every view."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd") if "\0" in value else value
    if isinstance(value, list):
        return [without_nul(one) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = vars(value)
        changed = {name: new for name, old in kept.items() if (new := without_nul(old)) != old}
        return dataclasses.replace(value, **changed) if changed else value
    return value
