"""Producing: acks=all, idempotent, record size checked before anything is sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from infra.kafka.records import Position
from infra.settings import Settings
from infra.waiting import until_available
from schemas.codec import Codec, Encoded
from schemas.errors import Invalid, Unavailable
from schemas.event import Event
from topics.catalogue import Topic

OVERHEAD_BYTES = 4096  # room for key, headers and the batch's own head


class Publisher:
    """One idempotent producer. A send that fails is Unavailable: nothing of ours is ever dropped in silence."""

    def __init__(self, settings: Settings, codec: Codec, producer: AIOKafkaProducer) -> None:
        self._settings, self._codec, self._producer = settings, codec, producer

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, codec: Codec) -> AsyncIterator["Publisher"]:
        """Connects as soon as the broker is there, and flushes at the end."""
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            request_timeout_ms=30_000,
            max_request_size=settings.limits.record_bytes,
        )
        try:
            await until_available("kafka", lambda: _start(producer))
            yield cls(settings, codec, producer)
        finally:
            await producer.stop()

    @property
    def alive(self) -> bool:
        """False once the task that sends has ended: aiokafka does not start it again, and nothing can be sent."""
        task = self._producer._sender.sender_task
        return task is not None and not task.done()

    def encode(self, topic: Topic, event: Event) -> Encoded:
        """Bytes and headers for a topic; raises Invalid when they are over the record limit."""
        encoded = self._codec.encode(topic.name, event)
        if len(encoded.value) > self._settings.limits.record_bytes - OVERHEAD_BYTES:
            raise Invalid(
                f"{type(event).__name__} has {len(encoded.value)} bytes; "
                f"a record holds {self._settings.limits.record_bytes}"
            )
        return encoded

    async def send(
        self, topic: Topic, key: str, event: Event, *, partition: int | None = None
    ) -> asyncio.Future[RecordMetadata]:
        """Enqueue only; the future resolves when every replica has it, or fails with a KafkaError."""
        return await self.send_bytes(topic, key, self.encode(topic, event), partition=partition)

    async def send_bytes(
        self,
        topic: Topic,
        key: str | bytes | None,
        encoded: Encoded,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> asyncio.Future[RecordMetadata]:
        """As `send`, with bytes that were encoded before (and perhaps sealed)."""
        try:
            sent: asyncio.Future[RecordMetadata] = await self._producer.send(
                self._settings.kafka_name(topic),
                encoded.value,
                key.encode() if isinstance(key, str) else key,
                partition=partition,
                headers=[*encoded.headers, *headers],
            )
            return sent
        except KafkaError as exc:
            raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc

    async def publish(self, topic: Topic, key: str, event: Event, *, partition: int | None = None) -> Position:
        """Send and wait for all replicas."""
        return await self.publish_bytes(topic, key, self.encode(topic, event), partition=partition)

    async def publish_bytes(
        self,
        topic: Topic,
        key: str | bytes | None,
        encoded: Encoded,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Position:
        """As `publish`, with bytes that were encoded before."""
        return await settled(await self.send_bytes(topic, key, encoded, partition=partition, headers=headers))


async def settled(sent: asyncio.Future[RecordMetadata]) -> Position:
    """The position of a record that was sent; raises Unavailable."""
    try:
        found = await sent
    except KafkaError as exc:
        raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
    return Position(found.partition, found.offset)


async def _start(producer: AIOKafkaProducer) -> None:
    try:
        await producer.start()
    except KafkaError as exc:
        raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
