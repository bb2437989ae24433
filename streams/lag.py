"""How far a worker is behind: end offsets as the broker says them, beside what Faust has fetched and finished."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faust.types import TP

from infra.settings import Settings
from infra.waiting import until_available
from schemas.errors import Unavailable
from streams.strict_consumer import StrictConsumer

ASK_SECONDS = 5.0


@dataclass(frozen=True)
class Behind:
    """One partition: records not finished, and of these the ones still on the broker."""

    unfinished: int
    unread: int


class EndOffsets:
    """A client of its own, so that a consumer that has gone to sleep cannot hide what it does not fetch."""

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["EndOffsets"]:
        """Connects as soon as the broker is there."""
        client = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=None,
            isolation_level="read_committed",
            request_timeout_ms=int(ASK_SECONDS * 1000),
        )
        try:
            await until_available("kafka", lambda: _start(client))
            yield cls(client)
        finally:
            await client.stop()

    async def behind(self, consumer: StrictConsumer) -> dict[TP, Behind] | None:
        """How far each assigned partition is behind; None when the broker did not say, or a rebalance is under way."""
        assigned = sorted(consumer.assignment())
        if not assigned:
            return {}
        try:
            ends = await self._client.end_offsets([TopicPartition(tp.topic, tp.partition) for tp in assigned])
            return {tp: await _behind(consumer, tp, ends[TopicPartition(*tp)]) for tp in assigned}
        except (KafkaError, IllegalStateError, TimeoutError):
            return None


async def _behind(consumer: StrictConsumer, tp: TP, end: int) -> Behind:
    position = await asyncio.wait_for(consumer.position(tp), ASK_SECONDS)
    if position is None:
        raise TimeoutError
    unfinished = consumer.unfinished(tp)
    first = unfinished[0] if unfinished else position
    return Behind(max(0, end - first), max(0, end - position))


async def _start(client: AIOKafkaConsumer) -> None:
    try:
        await client.start()
    except KafkaError as exc:
        raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
