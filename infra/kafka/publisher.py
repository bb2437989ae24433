"""Producing: acks=all, idempotent, record size checked before anything is sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber
from aiokafka.structs import RecordMetadata

from infra.kafka.patience import be_patient
from infra.kafka.records import Position
from infra.settings import Settings
from infra.waiting import until_available
from schemas.codec import Codec, Encoded
from schemas.errors import Invalid, Unavailable
from schemas.event import Event
from topics.catalogue import Topic

log = structlog.get_logger()
STOP_SECONDS = 8.0
OVERHEAD_BYTES = 4096  # room for key, headers and the batch's own head


class Publisher:
    """One idempotent producer. A send that fails is Unavailable: nothing of ours is ever dropped in silence."""

    def __init__(self, settings: Settings, codec: Codec, producer: AIOKafkaProducer) -> None:
        self._settings, self._codec, self._producer = settings, codec, producer
        self._lost_count = False

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, codec: Codec) -> AsyncIterator["Publisher"]:
        """Connects as soon as the broker is there, and flushes at the end, unless the broker is away then."""
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            request_timeout_ms=30_000,
            max_request_size=settings.limits.record_bytes,
        )
        be_patient(producer)
        try:
            await until_available("kafka", lambda: _start(producer))
            yield cls(settings, codec, producer)
        finally:
            await _stop(producer)

    @property
    def alive(self) -> bool:
        """False once nothing can be sent, or not on every partition: then only a new process can."""
        task = self._producer._sender.sender_task
        return task is not None and not task.done() and not self._lost_count

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
        except KafkaError as exc:
            raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
        sent.add_done_callback(self._look_at)
        return sent

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

    def _look_at(self, sent: asyncio.Future[RecordMetadata]) -> None:
        """A producer whose numbers the broker does not expect any more can send nothing on that partition."""
        if not sent.cancelled() and isinstance(sent.exception(), OutOfOrderSequenceNumber):
            self._lost_count = True


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


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await producer.stop()
    except TimeoutError:
        log.warning("stopped with records unsent: the broker did not take them")
