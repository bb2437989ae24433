"""kept topics -> views_next.*: from the first record, up to offsets that somebody names."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.kafka.identity import topic_ids
from infra.kafka.records import Record
from infra.postgres.freshness import Offsets, ends_now
from infra.postgres.pool import Connection, conninfo
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from schemas.errors import Invalid, Unavailable
from streams.views.consuming import Places, consuming, places_of
from streams.views.decoding import Decoding
from streams.views.folds import Fold
from streams.views.offsets import known_offsets
from streams.views.rebuild.schemas import NEXT
from streams.views.write_batch import Fetched, Writer

BATCH = 2000  # records a transaction folds at most: nobody waits for one of them
SILENT_SECONDS = 30
Heard = Callable[[int, int], None]  # records folded, and to fold


class Skipped:
    """What the live worker could not fold is a dead letter already: here it is only counted."""

    def __init__(self) -> None:
        self.records = 0

    async def bury(self, _record: Record, _reason: str) -> None:
        """Passed over."""
        self.records += 1

    def count(self, _record: Record) -> None:
        """A row of them is no alarm: the live worker went on, too."""

    def readable(self, _topic: str) -> None:
        """Nothing ends."""


@dataclass
class AnewFolder:
    """Folds into `views_next`, which nobody else writes. `folded`: up to where."""

    db: Connection
    ids: dict[str, str]
    folded: Offsets
    skipped: Skipped
    names: Places
    consumer: AIOKafkaConsumer
    writer: Writer

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, folds: Sequence[Fold]) -> AsyncIterator["AnewFolder"]:
        """Stands before the first record; the tables must be there. Raises Unavailable."""
        topics = tuple(fold.topic for fold in folds)
        async with AsyncExitStack() as stack:
            await ends_now(settings, topics)  # says at once when the broker is away, the ids are waited for
            ids = await topic_ids(settings, topics)
            connecting = psycopg.AsyncConnection.connect(conninfo(settings, "views", schema=NEXT), autocommit=True)
            db = await stack.enter_async_context(await connecting)
            registry = RegistryClient(settings)
            stack.push_async_callback(registry.close)
            folded = await known_offsets(db, topics, ids)
            consumer = await stack.enter_async_context(consuming(settings, folded))
            skipped = Skipped()
            writer = Writer(settings, folds, Decoding(topics, Codec(registry), skipped), live=False)
            yield cls(db, ids, folded, skipped, places_of(settings, folded), consumer, writer)

    async def up_to(self, bound: Offsets, heard: Heard | None = None) -> None:
        """Folds exactly up to these offsets; raises Invalid when the log is shorter, Unavailable when it is silent."""
        left = await self._left(bound)
        total = sum(bound.values())
        while left:
            fetched = await self.consumer.getmany(*left, timeout_ms=int(SILENT_SECONDS * 1000), max_records=BATCH)
            if not fetched:
                raise Unavailable("kafka", f"it said nothing for {SILENT_SECONDS} s")
            self.folded |= await self.writer.write(self.db, self.ids, self.folded, _before(fetched, left))
            for place in fetched:
                if self.folded[self.names[place]] >= left[place]:
                    del left[place]
                    self.consumer.pause(place)
            if heard is not None:
                heard(sum(self.folded.values()), total)

    async def _left(self, bound: Offsets) -> dict[TopicPartition, int]:
        """The partitions that are not folded so far, each standing where it goes on."""
        left = {place: bound.get(name, 0) for place, name in self.names.items()}
        ends = await self.consumer.end_offsets(list(left))
        for place, name in self.names.items():
            if ends[place] < left[place]:
                raise Invalid(f"{name[0]}/{name[1]} ends at {ends[place]}, but {left[place]} records were folded")
            self.consumer.pause(place)
            if self.folded[name] < left[place]:
                self.consumer.seek(place, self.folded[name])
                self.consumer.resume(place)
        return {place: to for place, to in left.items() if self.folded[self.names[place]] < to}


def _before(fetched: Fetched, left: dict[TopicPartition, int]) -> Fetched:
    """The records before the offsets to reach."""
    return {place: [one for one in many if one.offset < left[place]] for place, many in fetched.items()}
