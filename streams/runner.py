"""Runs deliveries: first in, first out per key, keys beside each other, bounded in events and bytes."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Set
from typing import NamedTuple

from infra.kafka.records import Record
from streams.metrics import WorkerMetrics

Ack = Callable[[], object]
Clock = Callable[[], float]
REMEMBERED = 10_000
CANCEL_SECONDS = 5.0


class Place(NamedTuple):
    """A partition, by the topic's plain name."""

    topic: str
    partition: int


class _Ident(NamedTuple):
    place: Place
    offset: int
    timestamp_ms: int  # tells the records of a topic made anew apart


class _Item:
    __slots__ = ("acks", "ident", "key", "lost", "record", "since", "task")

    def __init__(self, ident: _Ident, record: Record, ack: Ack, since: float) -> None:
        self.ident, self.record, self.acks, self.since = ident, record, [ack], since
        self.key: object = (record.topic, record.key) if record.key else ident
        self.task: asyncio.Task[None] | None = None
        self.lost = False


class KeyedRunner:
    """Every record ends in exactly one of three ways.

    Its delivery returned: it is acked. Its partition is gone, or the drain ran out of time: it is cancelled and not
    acked, so its next owner runs it again. Its delivery raised: `failed` holds the reason, nothing more is acked, and
    the worker has to stop.
    """

    def __init__(
        self,
        deliver: Callable[[Record], Awaitable[None]],
        metrics: WorkerMetrics,
        *,
        events: int,
        size: int,
        clock: Clock = time.monotonic,
    ) -> None:
        self._deliver, self._metrics, self._clock = deliver, metrics, clock
        self._room = _Room(events, size)
        self._held: dict[_Ident, _Item] = {}
        self._queues: dict[object, deque[_Item]] = {}  # the head of each is running
        self._drains: set[asyncio.Task[None]] = set()  # one for each busy key
        self._done: OrderedDict[_Ident, None] = OrderedDict()  # finished lately, perhaps not committed yet
        self._owned: Set[Place] | None = None
        self._closed = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.taken = 0
        self.finished = 0
        self.last_taken: dict[Place, int] = {}
        metrics.held.set_function(lambda: len(self._held))
        metrics.held_bytes.set_function(lambda: self._room.size)
        metrics.oldest.set_function(self.oldest_seconds)

    @property
    def held(self) -> int:
        """Events taken and not finished."""
        return len(self._held)

    @property
    def full(self) -> bool:
        """Somebody waits for room."""
        return self._room.crowded

    def oldest_seconds(self) -> float:
        """How long the oldest held event has been held."""
        first = next(iter(self._held.values()), None)
        return 0.0 if first is None else self._clock() - first.since

    async def submit(self, record: Record, ack: Ack) -> None:
        """Takes a record, as soon as there is room: until then the caller reads nothing more from its topic."""
        ident = _Ident(Place(record.topic, record.partition), record.offset, record.timestamp_ms)
        self.last_taken[ident.place] = record.offset
        if self._seen(ident, ack):
            return
        size = len(record.value or b"") + len(record.key or b"")
        await self._room.enter(size)
        gone = self._closed or (self._owned is not None and ident.place not in self._owned)
        if gone or self._seen(ident, ack):  # taken away, or delivered again, while we waited
            self._room.leave(size)
            return
        self.taken += 1
        item = self._held[ident] = _Item(ident, record, ack, self._clock())
        queue = self._queues.get(item.key)
        if queue is not None:
            queue.append(item)
            return
        self._queues[item.key] = deque([item])
        task = asyncio.create_task(self._drain_key(item.key))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    def _seen(self, ident: _Ident, ack: Ack) -> bool:
        if ident in self._held:  # a rebalance delivered it again while it runs or waits here
            self._held[ident].acks.append(ack)
        elif ident in self._done:  # finished here, but its commit was lost with the rebalance
            ack()
        else:
            return False
        self._metrics.redeliveries.labels(ident.place.topic).inc()
        return True

    async def _drain_key(self, key: object) -> None:
        queue = self._queues[key]
        while queue:
            if not queue[0].lost:
                await self._run(queue[0])
            queue.popleft()
        del self._queues[key]  # nothing was awaited since the last look at the queue

    async def _run(self, item: _Item) -> None:
        item.task = task = asyncio.ensure_future(self._deliver(item.record))
        await asyncio.wait([task])
        if item.lost:  # whatever it came to: its next owner does it again
            if not task.cancelled():
                task.exception()
            return
        if task.cancelled() or task.exception() is not None:
            self._fail(RuntimeError("a delivery cancelled itself") if task.cancelled() else task.exception())
            return
        self._release(item)
        self.finished += 1
        self._done[item.ident] = None
        if len(self._done) > REMEMBERED:
            self._done.popitem(last=False)
        for ack in item.acks:
            ack()

    def _release(self, item: _Item) -> None:
        if self._held.get(item.ident) is item:
            del self._held[item.ident]
            self._room.leave(len(item.record.value or b"") + len(item.record.key or b""))

    def _fail(self, exc: BaseException | None) -> None:
        assert exc is not None
        self.stop()
        if not self.failed.done():
            self.failed.set_exception(exc)

    def _lose(self, item: _Item) -> None:
        item.lost = True
        self._release(item)
        if item.task is not None:
            item.task.cancel()

    def on_assigned(self, owned: Set[Place]) -> None:
        """Cancels what runs on lost partitions, drops what waits for them, keeps the rest going."""
        self._owned = owned
        self._metrics.rebalances.inc()
        for item in [item for item in self._held.values() if item.ident.place not in owned]:
            self._lose(item)
        for ident in [ident for ident in self._done if ident.place not in owned]:
            del self._done[ident]
        self.last_taken = {place: offset for place, offset in self.last_taken.items() if place in owned}

    def stop(self) -> None:
        """Takes nothing more and cancels everything held: nothing of it is acked."""
        self._closed = True
        for item in list(self._held.values()):
            self._lose(item)

    async def drain(self, seconds: float) -> None:
        """Takes nothing more, lets what is held finish, then cancels the rest."""
        self._closed = True
        if self._drains:
            await asyncio.wait(list(self._drains), timeout=seconds)
        self.stop()
        if self._drains:
            await asyncio.wait(list(self._drains), timeout=CANCEL_SECONDS)


class _Room:
    """How much may be held. A record larger than all room enters when nothing else is held."""

    def __init__(self, events: int, size: int) -> None:
        self._events, self._size = events, size
        self.events = self.size = 0
        self._turn = asyncio.Lock()  # first come, first served: a large record is not overtaken for ever
        self._freed = asyncio.Event()

    @property
    def crowded(self) -> bool:
        return self._turn.locked()

    async def enter(self, size: int) -> None:
        async with self._turn:
            while self.events and (self.events >= self._events or self.size + size > self._size):
                self._freed.clear()
                await self._freed.wait()
            self.events += 1
            self.size += size

    def leave(self, size: int) -> None:
        self.events -= 1
        self.size -= size
        self._freed.set()
