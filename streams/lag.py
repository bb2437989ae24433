"""How far a worker is behind: end offsets as the broker says them, beside what Faust has fetched and finished."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaError as Problem
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
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

    def __init__(self, client: AIOKafkaConsumer, settings: Settings, group: str) -> None:
        self._client, self._settings, self._group = client, settings, group

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, group: str) -> AsyncIterator["EndOffsets"]:
        """Connects as soon as the broker is there. It reads what the group committed, and is no member of it."""
        client = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            group_id=group,
            enable_auto_commit=False,
            isolation_level="read_committed",
            request_timeout_ms=int(ASK_SECONDS * 1000),
        )
        try:
            await until_available("kafka", lambda: _start(client))
            yield cls(client, settings, group)
        finally:
            await client.stop()

    async def behind(self, consumer: StrictConsumer) -> dict[TP, Behind] | None:
        """How far each assigned partition is behind; None when the broker did not say."""
        assigned = sorted(consumer.assignment())
        try:
            ends = await self._client.end_offsets([TopicPartition(*tp) for tp in assigned])
            found = dict(zip(assigned, await _positions(consumer, assigned), strict=True))
            return {tp: await self._behind(consumer, tp, ends[TopicPartition(*tp)], found[tp]) for tp in assigned}
        except KafkaError:
            return None

    async def of_group(self, places: Iterable[TopicPartition]) -> tuple[int, int] | None:
        """Records that the group has not committed, and the sum of its offsets; None as above, or when others work."""
        try:
            ends = await self._client.end_offsets(list(places))
            committed = {place: await self._client.committed(place) or 0 for place in ends}
            if await asyncio.to_thread(_members, self._settings, self._group) > 1:
                return None
        except (KafkaError, KafkaException, TimeoutError):
            return None
        return sum(max(0, end - committed[place]) for place, end in ends.items()), sum(committed.values())

    async def _behind(self, consumer: StrictConsumer, tp: TP, end: int, position: int | None) -> Behind:
        if position is None:  # of a consumer that does not say where it is, what is committed tells
            left = max(0, end - (await self._client.committed(TopicPartition(*tp)) or 0))
            return Behind(left, left)
        unfinished = consumer.unfinished(tp)
        first = unfinished[0] if unfinished else position
        return Behind(max(0, end - first), max(0, end - position))


async def _positions(consumer: StrictConsumer, assigned: list[TP]) -> list[int | None]:
    """Where the consumer is; None where it does not say in time, or where a rebalance is under way."""

    async def position(tp: TP) -> int | None:
        try:
            return await asyncio.wait_for(consumer.position(tp), ASK_SECONDS)
        except (KafkaError, TimeoutError):
            return None

    return list(await asyncio.gather(*map(position, assigned)))


def _members(settings: Settings, group: str) -> int:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2})
    found = admin.describe_consumer_groups([group], request_timeout=ASK_SECONDS)[group]
    try:
        return len(found.result(ASK_SECONDS).members)
    except KafkaException as exc:
        if exc.args[0].code() == Problem.GROUP_ID_NOT_FOUND:
            return 0
        raise


async def _start(client: AIOKafkaConsumer) -> None:
    try:
        await client.start()
    except KafkaError as exc:
        raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
