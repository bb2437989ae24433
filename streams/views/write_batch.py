"""A batch of records, written: what the folds make of it and the offsets, in one transaction."""

from collections import defaultdict
from collections.abc import Sequence

import psycopg
from aiokafka import ConsumerRecord, TopicPartition

from infra.kafka.records import Received
from infra.postgres.freshness import CHANNEL, Offsets, notice
from infra.postgres.pool import Connection
from infra.settings import Settings
from schemas.event import Event
from streams.dead_letters import StopWorker
from streams.views.decoding import Decoding
from streams.views.folds import Fold
from streams.views.offsets import move_offsets

REFUSED = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded)  # by a record's values: no waiting mends that
Events = dict[str, list[Received[Event]]]
Fetched = dict[TopicPartition, list[ConsumerRecord]]


class Writer:
    """Writes into the tables that its connection finds. `live`: the steps, and all who listen, are told."""

    def __init__(self, settings: Settings, folds: Sequence[Fold], decoding: Decoding, *, live: bool = True) -> None:
        self._settings, self._folds, self._decoding, self._live = settings, folds, decoding, live

    async def write(self, db: Connection, ids: dict[str, str], folded: Offsets, fetched: Fetched) -> Offsets:
        """How far the partitions of the batch are folded then; raises Fenced, StopWorker or Unavailable."""
        events: Events = defaultdict(list)
        moved: Offsets = {}
        for place in sorted(fetched):
            topic = self._settings.plain_name(place.topic)
            events[topic] += await self._decoding.decode(topic, fetched[place])
            moved[topic, place.partition] = fetched[place][-1].offset + 1
        try:
            await self._write(db, ids, events, folded, moved)
        except (*REFUSED, StopWorker):  # one by one they show which
            await self._write(db, ids, await self._acceptable(db, events, fetched), folded, moved)
        return moved

    async def _write(
        self, db: Connection, ids: dict[str, str], events: Events, folded: Offsets, moved: Offsets
    ) -> None:
        async with db.transaction():
            await move_offsets(db, ids, folded, moved)
            for fold in self._folds:
                if events[fold.topic.name]:
                    await self._run(fold, db, events[fold.topic.name])
            if self._live:
                await db.execute("select pg_notify(%s, %s)", [CHANNEL, notice(moved)])

    async def _acceptable(self, db: Connection, events: Events, fetched: Fetched) -> Events:
        """The events whose values the database takes, tried one by one; the others become dead letters."""
        records = {(place.topic, one.partition, one.offset): one for place, many in fetched.items() for one in many}
        kept: Events = defaultdict(list)
        for fold in self._folds:
            name = fold.topic.name
            for event in events[name]:
                try:
                    async with db.transaction(force_rollback=True):
                        await self._run(fold, db, [event])
                except REFUSED as exc:
                    record = records[self._settings.kafka_name(fold.topic), event.partition, event.offset]
                    await self._decoding.bury(name, record, f"the views cannot hold it: {exc}")
                else:
                    kept[name].append(event)
        return kept

    async def _run(self, fold: Fold, db: Connection, events: Sequence[Received[Event]]) -> None:
        """Folds; raises StopWorker for what neither waiting nor a dead letter mends: that is our bug."""
        try:
            await fold.fold(db, events)
            if self._live and fold.tell is not None:
                await fold.tell(db, events)
        except (*REFUSED, psycopg.OperationalError, psycopg.InterfaceError):
            raise
        except Exception as exc:
            places = ", ".join(f"{event.partition}:{event.offset}" for event in events[:5])
            raise StopWorker(f"a fold of {fold.topic.name} crashed at {places} (partition:offset): {exc!r}") from exc
