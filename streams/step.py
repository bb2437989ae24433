"""Delivery, decided once: what becomes of a record whose handler succeeds, fails, waits or crashes (design §9).

A step is a plain async function with the event type it is for. `Delivery.deliver` returns when its record may be acked.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import structlog

from infra.kafka.publisher import Publisher, settled
from infra.kafka.records import Output, Outputs, Received, Record
from schemas.codec import Codec, Encoded
from schemas.errors import Invalid, Refused, Unavailable, Undecodable
from schemas.event import Event
from streams.dead_letters import Burial
from streams.metrics import WorkerMetrics
from streams.patience import Backoff, Patience, Told, longest_five_seconds
from topics.catalogue import Topic

E = TypeVar("E", bound=Event)
log = structlog.get_logger()

Undecoded = Callable[[Record, Undecodable], Awaitable[Outputs]]


@dataclass(frozen=True)
class Step(Generic[E]):
    """One event type of a topic, and what is done with it.

    `handle` is idempotent: it may run again after a crash, a rebalance or a wait, with the same event.
    `failed` says the failure where its sender looks; without it the record becomes a dead letter.
    `waiting` is told each time a server is away; it may raise Invalid or Refused to wait no longer.
    `running` bounds the calls of `handle` at once; a step that backs off gives its slot back.
    """

    topic: Topic
    on: type[E]
    handle: Callable[[Received[E]], Awaitable[Outputs]]
    failed: Callable[[Received[E], Exception], Awaitable[Outputs]] | None = None
    waiting: Callable[[Received[E], Unavailable], Awaitable[None]] | None = None
    running: asyncio.Semaphore | None = None

    @property
    def name(self) -> str:
        """How logs and metrics call it."""
        function = getattr(self.handle, "func", self.handle)  # most handlers are partials
        return str(getattr(function, "__name__", self.on.__name__))


class Tries(Protocol):
    """Counts handler crashes, so that a process that starts anew goes on counting."""

    async def crashed(self, received: Received[Any], error: Exception) -> bool:
        """Notes one more crash; True when the record is to be tried again, False when it has had its tries."""

    async def finished(self, received: Received[Any]) -> None:
        """Forgets a record that crashed before and is done with now."""


class Crashed(Exception):
    """A handler cancelled itself: nobody took its partition away, so it counts as a crash."""


Sealed = Sequence[tuple[Output, Encoded]]


class Delivery:
    """The table of outcomes, for all steps of one worker."""

    def __init__(
        self,
        steps: Sequence[Step[Any]],
        *,
        codec: Codec,
        publisher: Publisher,
        burial: Burial,
        tries: Tries,
        metrics: WorkerMetrics,
        undecodable: Undecoded | None = None,
        backoff: Backoff = longest_five_seconds,
    ) -> None:
        self._steps = {(step.topic.name, step.on): step for step in steps}
        self._topics = {step.topic.name: step.topic for step in steps}
        self._codec, self._publisher, self._burial = codec, publisher, burial
        self._tries, self._metrics, self._undecodable = tries, metrics, undecodable
        self.patience = Patience(metrics, backoff)
        self._handling: dict[object, float] = {}  # since when each call of a handler runs
        missing = [
            f"{topic.name}: {event.__name__}"
            for topic in self._topics.values()
            for event in topic.events
            if (topic.name, event) not in self._steps
        ]
        if missing or len(self._steps) != len(steps):
            raise ValueError(f"each event of a consumed topic has exactly one step; look at {missing or 'the doubles'}")

    async def deliver(self, record: Record) -> None:
        """Does what the table says, publishes what comes of it, and returns: only then may the record be acked.

        Raises StopWorker after too many dead letters in a row on a topic that only we write. A cancellation passes:
        the partition is lost, and its next owner does this again.
        """
        topic = self._topics[record.topic]
        try:
            event = await self.patience.until_done(record.topic, lambda: self._decoded(topic, record))
        except Undecodable as exc:
            await self._bury(record, exc)
            return
        self._burial.readable(record.topic)
        key = record.key or b""
        received = Received(
            event, record.topic, record.partition, record.offset, key, record.timestamp_ms, record.named_headers()
        )
        await self._process(self._steps[record.topic, type(event)], received, record)

    async def _decoded(self, topic: Topic, record: Record) -> Event:
        self._burial.check_size(record)
        if not record.key:
            raise Undecodable(f"a record without a key; the key of {topic.name} is the {topic.key}")
        if topic.ours and not _is_text(record.key):
            raise Undecodable("the key is not UTF-8")
        return await self._codec.decode(topic.name, topic.events, record.value, record.named_headers())

    async def _process(self, step: Step[Any], received: Received[Any], record: Record) -> None:
        crashed = 0
        while True:
            try:
                sealed = await self.patience.until_done(
                    step.name, lambda: self._handled(step, received), _told(step, received)
                )
                outcome = "done"
            except (Invalid, Refused) as exc:
                sealed, outcome = await self._given_up(step, received, record, exc), "failed"
            except Exception as exc:  # our bug, whatever it is; a cancellation is no Exception
                crashed += 1
                self._metrics.crashes.labels(received.topic, step.name).inc()
                log.error("a handler crashed", step=step.name, **_place(received), crashed=crashed, exc_info=exc)
                if await self.patience.until_done(step.name, lambda exc=exc: self._tries.crashed(received, exc)):  # type: ignore[misc]
                    await self.patience.back_off(crashed)
                    continue
                sealed, outcome = await self._given_up(step, received, record, exc), "failed"
            break
        await self.patience.until_done(step.name, lambda: self._publish(sealed))
        if crashed:
            await self.patience.until_done(step.name, lambda: self._tries.finished(received))
        self._metrics.outcomes.labels(received.topic, step.name, outcome).inc()

    async def _handled(self, step: Step[Any], received: Received[Any]) -> Sealed:
        slot: AbstractAsyncContextManager[Any] = step.running or nullcontext()
        async with slot:
            with self._metrics.running.track_inprogress(), self._timed():
                try:
                    return self._sealed(await step.handle(received))
                except asyncio.CancelledError as exc:
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        raise
                    raise Crashed(f"{step.name} cancelled itself") from exc

    @contextmanager
    def _timed(self) -> Iterator[None]:
        call = object()
        self._handling[call] = time.monotonic()
        try:
            yield
        finally:
            del self._handling[call]

    def handling_seconds(self) -> float:
        """How long the oldest call of a handler has run."""
        return max((time.monotonic() - since for since in self._handling.values()), default=0.0)

    async def _given_up(self, step: Step[Any], received: Received[Any], record: Record, exc: Exception) -> Sealed:
        """What `failed` says; when there is no `failed`, or it fails itself, the record becomes a dead letter."""
        failed = step.failed
        if failed is None:
            await self._bury(record, exc)
            return ()

        async def say() -> Sealed:
            return self._sealed(await failed(received, exc))

        try:
            return await self.patience.until_done(step.name, say)
        except Exception as again:  # nothing is swallowed: it lies in dead-letters, and is logged
            log.error("a failure could not be told", step=step.name, **_place(received), exc_info=again)
            await self._bury(record, exc)
            return ()

    async def _bury(self, record: Record, exc: Exception) -> None:
        """A dead letter, then what the worker says besides (a turn that the header names has failed)."""
        await self.patience.until_done(
            "dead-letters", lambda: self._burial.bury(record, str(exc) or type(exc).__name__)
        )
        if isinstance(exc, Undecodable):
            await self._say_besides(record, exc)
        self._burial.count(record)

    async def _say_besides(self, record: Record, exc: Undecodable) -> None:
        said = self._undecodable
        if said is None:
            return
        try:
            outputs = await self.patience.until_done(record.topic, lambda: said(record, exc))
            sealed = self._sealed(outputs)
        except Exception as again:  # the record is kept already; a restart would only bury it again
            log.error("an unreadable record could not be told", topic=record.topic, exc_info=again)
            return
        await self.patience.until_done(record.topic, lambda: self._publish(sealed))

    def _sealed(self, outputs: Outputs) -> Sealed:
        """Outputs with their bytes: one that cannot be a record is found here, where the handler answers for it."""
        return [(output, self._publisher.encode(output.topic, output.event)) for output in outputs]

    async def _publish(self, sealed: Sealed) -> None:
        sent = [
            await self._publisher.send_bytes(output.topic, output.key, encoded, partition=output.partition)
            for output, encoded in sealed
        ]
        for future in sent:
            await settled(future)


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def _place(received: Received[Any]) -> dict[str, object]:
    return {"topic": received.topic, "partition": received.partition, "offset": received.offset}


def _told(step: Step[E], received: Received[E]) -> Told | None:
    waiting = step.waiting
    return None if waiting is None else lambda exc: waiting(received, exc)
