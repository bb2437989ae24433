"""A stand for deliveries: the real codec, publisher, object storage and Postgres of an installation."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from prometheus_client import CollectorRegistry

from infra.kafka.publisher import Publisher
from infra.kafka.records import Record
from infra.objects import Objects
from infra.postgres.pool import Pool, open_pool
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from schemas.event import Event
from streams.dead_letters import Burial
from streams.metrics import WorkerMetrics
from streams.step import Delivery, Step
from streams.tries import PostgresTries
from tests.kafka_reading import all_of
from topics.catalogue import DOCUMENTS_LOCAL, OURS, Topic


@dataclass
class Stand:
    """What a delivery stands on. `offset` gives every record of a test its own place."""

    settings: Settings
    codec: Codec
    publisher: Publisher
    objects: Objects
    db: Pool
    offset: int = 0

    def delivery(self, *steps: Step[Any], ours: bool = True, tries: int = 3, **more: Any) -> Delivery:
        """A delivery of the worker `documents`, with nearly no back-off; more crash tries would only take longer."""
        metrics = WorkerMetrics(CollectorRegistry())
        topics = frozenset(step.topic.name for step in steps) if ours else frozenset()
        given: dict[str, Any] = {
            "codec": self.codec,
            "publisher": self.publisher,
            "burial": Burial(self.settings, "documents", self.publisher, self.objects, metrics, topics),
            "tries": PostgresTries(self.db, "documents", tries),
            "metrics": metrics,
            "backoff": lambda _: 0.001,
        }
        return Delivery(steps, **given | more)

    def record(self, topic: Topic, event: Event, key: bytes | None = b"k", **more: Any) -> Record:
        """An event as it lies on its topic, at the next offset."""
        encoded = self.codec.encode(topic.name, event)
        given = {"value": encoded.value, "headers": tuple(encoded.headers)} | more
        self.offset += 1
        return Record(topic.name, 3, self.offset, 1_700_000_000_000, key, **given)

    async def events(self, topic: Topic) -> list[Event]:
        """Every event on a topic."""
        return [
            await self.codec.decode(topic.name, topic.events, found.value, dict(found.headers))
            for found in await all_of(self.settings, topic)
        ]

    async def tries(self) -> list[tuple[int, int]]:
        """Offset and count of every record that is noted as crashed."""
        async with self.db.connection() as db:
            return await (await db.execute('select "offset", tries from state.tries')).fetchall()


@pytest_asyncio.fixture(scope="module")
async def stand(settings: Settings) -> AsyncIterator[Stand]:
    """Opened once a module; the topics keep what earlier tests of it wrote."""
    registry = RegistryClient(settings)
    await registry.load((*OURS, DOCUMENTS_LOCAL))
    codec = Codec(registry)
    async with Publisher.open(settings, codec) as publisher, open_pool(settings, "documents", size=2) as db:
        yield Stand(settings, codec, publisher, Objects.open(settings), db)
    await registry.close()
