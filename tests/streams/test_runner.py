"""The keyed runner: order, bounds, lost partitions, redelivery, drain."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from infra.kafka.records import Record
from streams.metrics import WorkerMetrics
from streams.runner import KeyedRunner, Place

MOMENT = 5.0


class Work:
    """Deliveries that go on until they are let go; it notes what happened, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[str, int]] = []
        self.running: dict[int, asyncio.Event] = {}

    async def deliver(self, record: Record) -> None:
        self.log.append(("start", record.offset))
        self.running[record.offset] = asyncio.Event()
        try:
            await self.running[record.offset].wait()
            self.log.append(("end", record.offset))
        except asyncio.CancelledError:
            self.log.append(("cancel", record.offset))
            raise
        finally:
            del self.running[record.offset]

    async def finish(self, offset: int) -> None:
        """Lets one delivery go on, as soon as it runs."""
        await eventually(lambda: offset in self.running)
        self.running[offset].set()

    def ack(self, offset: int) -> Callable[[], None]:
        return lambda: self.log.append(("ack", offset))

    def acked(self) -> list[int]:
        return [offset for what, offset in self.log if what == "ack"]


def record(offset: int, key: str = "k", partition: int = 0, value: bytes = b"v") -> Record:
    return Record("turns", partition, offset, 0, key.encode(), value)


def made(
    deliver: Callable[[Record], Awaitable[None]],
    *,
    events: int = 100,
    size: int = 1_000_000,
    clock: Callable[[], float] = lambda: 0.0,
) -> KeyedRunner:
    return KeyedRunner(deliver, WorkerMetrics(CollectorRegistry()), events=events, size=size, clock=clock)


async def eventually(true: Callable[[], object]) -> None:
    async with asyncio.timeout(MOMENT):
        while not true():
            await asyncio.sleep(0)


async def test_events_of_one_key_run_one_after_another_and_keys_run_beside_each_other() -> None:
    work = Work()
    runner = made(work.deliver)
    for offset, key in enumerate("aabb"):
        await runner.submit(record(offset, key), work.ack(offset))
    await eventually(lambda: len(work.running) == 2)
    assert sorted(work.running) == [0, 2]
    await work.finish(2)
    await work.finish(3)
    await eventually(lambda: work.acked() == [2, 3])
    assert 0 in work.running, "a slow key delays no other"
    await work.finish(0)
    await work.finish(1)
    await eventually(lambda: work.acked() == [2, 3, 0, 1])
    await eventually(lambda: runner.held == 0)


async def test_no_more_events_are_held_than_allowed_and_the_next_enters_when_one_ends() -> None:
    work = Work()
    runner = made(work.deliver, events=2)
    for offset in (0, 1):
        await runner.submit(record(offset, str(offset)), work.ack(offset))
    third = asyncio.create_task(runner.submit(record(2, "2"), work.ack(2)))
    await eventually(lambda: runner.full)
    assert not third.done()
    assert runner.held == 2
    await work.finish(0)
    await asyncio.wait_for(third, MOMENT)
    assert runner.held == 2
    assert not runner.full
    runner.stop()


async def test_no_more_bytes_are_held_than_allowed_but_one_large_record_alone_gets_in() -> None:
    work = Work()
    runner = made(work.deliver, size=1000)
    await runner.submit(record(0, "a", value=b"x" * 5000), work.ack(0))
    second = asyncio.create_task(runner.submit(record(1, "b"), work.ack(1)))
    await eventually(lambda: runner.full)
    assert not second.done()
    await work.finish(0)
    await asyncio.wait_for(second, MOMENT)
    runner.stop()


async def test_a_lost_partition_is_cancelled_and_dropped_without_an_ack_and_the_kept_one_goes_on() -> None:
    work = Work()
    runner = made(work.deliver)
    runner.on_assigned({Place("turns", 0), Place("turns", 1)})
    await runner.submit(record(0, "a", partition=0), work.ack(0))
    await runner.submit(record(1, "a", partition=0), work.ack(1))
    await runner.submit(record(2, "b", partition=1), work.ack(2))
    await eventually(lambda: len(work.running) == 2)
    runner.on_assigned({Place("turns", 1)})
    await eventually(lambda: ("cancel", 0) in work.log)
    await work.finish(2)
    await eventually(lambda: work.acked() == [2])
    assert ("start", 1) not in work.log
    assert runner.held == 0


async def test_a_partition_that_comes_straight_back_runs_again_and_never_beside_its_first_run() -> None:
    work = Work()
    runner = made(work.deliver)
    runner.on_assigned({Place("turns", 0)})
    await runner.submit(record(0), work.ack(0))
    await eventually(lambda: 0 in work.running)
    runner.on_assigned(set())
    runner.on_assigned({Place("turns", 0)})
    await runner.submit(record(0), work.ack(0))
    await eventually(lambda: work.log.count(("start", 0)) == 2)
    assert work.log.index(("cancel", 0)) < len(work.log) - 1
    await work.finish(0)
    await eventually(lambda: work.acked() == [0])
    assert work.log == [("start", 0), ("cancel", 0), ("start", 0), ("end", 0), ("ack", 0)]


async def test_a_record_that_comes_again_while_it_runs_runs_once_and_both_copies_are_acked() -> None:
    work = Work()
    runner = made(work.deliver)
    await runner.submit(record(0), work.ack(0))
    await runner.submit(record(0), work.ack(0))
    await work.finish(0)
    await eventually(lambda: work.acked() == [0, 0])
    assert work.log.count(("start", 0)) == 1


async def test_a_record_that_comes_again_after_it_was_finished_is_acked_at_once() -> None:
    work = Work()
    runner = made(work.deliver)
    await runner.submit(record(0), work.ack(0))
    await work.finish(0)
    await eventually(lambda: work.acked() == [0])
    await runner.submit(record(0), work.ack(0))
    assert work.acked() == [0, 0]
    assert work.log.count(("start", 0)) == 1


async def test_a_record_of_a_topic_made_anew_is_not_taken_for_the_old_one_at_its_offset() -> None:
    work = Work()
    runner = made(work.deliver)
    await runner.submit(record(0), work.ack(0))
    await work.finish(0)
    await eventually(lambda: work.acked() == [0])
    await runner.submit(Record("turns", 0, 0, 99, b"k", b"other"), work.ack(0))
    await eventually(lambda: work.log.count(("start", 0)) == 2)
    runner.stop()


async def test_a_record_taken_away_while_it_waited_for_room_is_not_run() -> None:
    work = Work()
    runner = made(work.deliver, events=1)
    runner.on_assigned({Place("turns", 0), Place("turns", 1)})
    await runner.submit(record(0, "a", partition=0), work.ack(0))
    waiting = asyncio.create_task(runner.submit(record(1, "b", partition=1), work.ack(1)))
    await eventually(lambda: runner.full)
    runner.on_assigned({Place("turns", 0)})
    await work.finish(0)
    await asyncio.wait_for(waiting, MOMENT)
    await eventually(lambda: runner.held == 0)
    assert ("start", 1) not in work.log
    assert work.acked() == [0]


async def test_a_delivery_that_raises_stops_everything_and_nothing_more_is_acked() -> None:
    work = Work()

    async def deliver(one: Record) -> None:
        if one.offset == 1:
            raise ZeroDivisionError
        await work.deliver(one)

    runner = made(deliver)
    await runner.submit(record(0, "a"), work.ack(0))
    await runner.submit(record(1, "b"), work.ack(1))
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(asyncio.shield(runner.failed), MOMENT)
    await eventually(lambda: ("cancel", 0) in work.log)
    await runner.submit(record(2, "c"), work.ack(2))
    assert work.acked() == []
    assert runner.held == 0


async def test_a_drain_lets_the_running_and_the_queued_finish_and_takes_nothing_new() -> None:
    work = Work()
    runner = made(work.deliver)
    for offset in (0, 1):
        await runner.submit(record(offset), work.ack(offset))
    await eventually(lambda: 0 in work.running)
    drain = asyncio.create_task(runner.drain(MOMENT))
    await asyncio.sleep(0)
    await runner.submit(record(2, "late"), work.ack(2))
    await work.finish(0)
    await work.finish(1)
    await asyncio.wait_for(drain, MOMENT)
    assert work.acked() == [0, 1]
    assert ("start", 2) not in work.log


async def test_a_drain_that_runs_out_of_time_cancels_the_rest_without_an_ack() -> None:
    work = Work()
    runner = made(work.deliver)
    for offset in (0, 1):
        await runner.submit(record(offset), work.ack(offset))
    await eventually(lambda: 0 in work.running)
    await asyncio.wait_for(runner.drain(0.05), MOMENT)
    assert work.log == [("start", 0), ("cancel", 0)]
    assert runner.held == 0


async def test_the_age_of_the_oldest_held_event_is_shown() -> None:
    work, now = Work(), [100.0]
    runner = made(work.deliver, clock=lambda: now[0])
    await runner.submit(record(0), work.ack(0))
    now[0] = 130.0
    assert runner.oldest_seconds() == 30.0
    runner.stop()
    assert runner.oldest_seconds() == 0.0
