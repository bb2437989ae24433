"""Faust's transport with strict commits: the committed offset moves only over records that are finished.

Private names of faust-streaming 0.15.3, mode-streaming 0.7.1 and aiokafka 0.14.0 are overridden here: these three are
pinned, and the kill and decode tests of tests/faults/delivery are run on any change of them.
"""

import collections
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from infra.kafka.consumers import mend_consumers

FETCH_MAX_WAIT_MS = 500  # 1500 in Faust: a full partition, left out of a fetch, waits for its end


class StrictConsumer(driver.Consumer):
    """Commits only the finished prefix of what was *fetched*.

    Stock Faust commits the first run of consecutive acked offsets, without looking for older events that still run or
    wait in a queue. Here every fetched offset is remembered in order, and the committed offset moves only while the
    oldest one is acked. Compaction or transaction gaps need no book-keeping: they were never fetched.

    Tracking happens at the fetch, not at the delivery: a record that Faust drops between the two (paused partition)
    then holds the commit back instead of being skipped without a trace. Acks are read from `_acked_index` because the
    Cython stream iterator writes there itself and never calls `Consumer.ack`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._fetched: dict[TP, collections.deque[int]] = collections.defaultdict(collections.deque)
        self._ready: dict[TP, int] = {}  # the next offset that may be committed
        super().__init__(*args, **kwargs)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109
        records = await super()._getmany(active_partitions, timeout)
        acks_enabled = self.app.topics.acks_enabled_for
        for tp, fetched in records.items():
            if fetched and acks_enabled(tp.topic):
                self._track(tp, [record.offset for record in fetched])
        return records

    def _track(self, tp: TP, offsets: list[int]) -> None:
        pending = self._fetched[tp]
        while pending and pending[-1] >= offsets[0]:  # the position went back: the same records come again
            pending.pop()
        floor = self._ready.get(tp, 0)
        pending.extend(offset for offset in offsets if offset >= floor)

    def _forget(self, partitions: Iterable[TP] | None = None) -> None:
        books: tuple[MutableMapping[TP, Any], ...] = (
            self._fetched,
            self._ready,
            self._acked,
            self._acked_index,
            self._gap,
        )
        for book in books:
            for tp in list(book) if partitions is None else partitions:
                book.pop(tp, None)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._forget(revoked)
        await super().on_partitions_revoked(revoked)
        self._forget(revoked)

    async def perform_seek(self) -> None:
        """After every assignment: back to the committed offsets."""
        self._forget()
        await super().perform_seek()
        self._forget()  # a fetch that was under way during the seek

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: what was not fetched needs no ack."""

    def _new_offset(self, tp: TP) -> int | None:
        pending, done = self._fetched.get(tp), self._acked_index.get(tp)
        last = None
        while pending and done and pending[0] in done:
            last = pending.popleft()
            done.discard(last)
        if last is not None:
            self._ready[tp] = last + 1
            # the key must stay: it makes the partition a candidate of the next commit
            self._acked[tp] = [offset for offset in self._acked[tp] if offset > last]
        return self._ready.get(tp)  # offered again until a commit succeeded

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before = {tp: self._committed_offset[tp] for tp in offsets}
        did = await super()._commit_offsets(offsets, start_new_transaction=start_new_transaction)
        if not did:  # stock 0.15.3 moves its mark even when the commit failed
            for tp, old in before.items():
                if self._committed_offset.get(tp) == offsets[tp]:
                    self._committed_offset[tp] = old
        return did

    def _new_consumer_thread(self) -> Any:
        return StrictThread(self, loop=self.loop, beacon=self.beacon)

    def unfinished(self, tp: TP) -> collections.deque[int]:
        """Offsets that were fetched and cannot be committed yet, in order."""
        return self._fetched.get(tp) or collections.deque()

    def newest(self, tp: TP) -> int:
        """The newest offset that was fetched and cannot be committed yet; -1: there is none."""
        pending = self._fetched.get(tp)
        return pending[-1] if pending else -1


class StrictThread(driver.AIOKafkaConsumerThread):
    """The aiokafka consumer inside Faust, with two settings that Faust hard-codes."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        mend_consumers()
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        consumer._isolation_level = "read_committed"  # an outside source may abort what it published
        return consumer


class StrictProducer(driver.Producer):
    """Faust's producer; nothing of ours goes through it, but it must not be weaker than ours."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True, **super()._settings_extra()}


class StrictTransport(driver.Transport):
    """The aiokafka driver with the classes above."""

    Consumer = StrictConsumer
    Producer = StrictProducer


class StrictApp(faust.App):
    """A Faust app on that transport."""

    def _new_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_producer, self)
