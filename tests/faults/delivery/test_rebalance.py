"""Workers that come and go: what is kept goes on, what is lost starts anew elsewhere, a drain leaves nothing behind."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.faults.delivery.chaos import Chaos
from topics.catalogue import DOCUMENTS

pytestmark = pytest.mark.timeout(300)  # processes start and end, on a machine that may be busy


async def test_a_second_worker_takes_some_partitions_and_only_their_events_start_anew(
    chaos: Chaos, tmp_path: Path
) -> None:
    chaos.start("a", CHAOS_RUNNING="1000")
    enough = tmp_path / "enough"
    long = [await chaos.put(f"long-{number}", enough, partition=number) for number in range(DOCUMENTS.partitions)]
    await chaos.until(lambda: chaos.ids("start") >= set(long))
    chaos.start("b", CHAOS_RUNNING="1000")
    await chaos.until(lambda: chaos.lines("b", "start"))
    await chaos.until(lambda: len(chaos.lines("a", "cancel")) == len(chaos.lines("b", "start")))
    moved = {line.id for line in chaos.lines("a", "cancel")}
    assert moved == {line.id for line in chaos.lines("b", "start")}
    assert 0 < len(moved) < len(long)
    short = [await chaos.put(f"short-{number}", 0.05, partition=number) for number in range(DOCUMENTS.partitions)]
    await chaos.until(lambda: chaos.ids("end") >= set(short))
    assert not chaos.ids("end") & set(long), "the short ones were finished beside the long ones"
    enough.touch()
    await chaos.until(lambda: chaos.ids("end") == set(chaos.sent))
    started = [line.id for line in chaos.lines(what="start")]
    assert sorted(started) == sorted([*chaos.sent, *moved]), "what was kept ran once, what was lost twice"
    assert chaos.overlaps_and_disorder() == []
    assert [await chaos.end("a"), await chaos.end("b")] == [0, 0]


async def test_sigterm_drains_and_whoever_takes_over_runs_nothing_of_it_again(chaos: Chaos) -> None:
    chaos.start("a")
    held = [await chaos.put(f"held-{number}", 4.0, partition=number) for number in range(DOCUMENTS.partitions)]
    queued = await chaos.put("held-0", 0.05, partition=0)
    await chaos.until(lambda: chaos.ids("start") >= set(held))
    assert await chaos.end("a") == 0
    assert {line.id for line in chaos.lines("a", "end")} == {*held, queued}, "running and queued were finished"
    assert chaos.lines("a", "cancel") == []
    chaos.start("b")
    await chaos.put("after", 0.05)
    await chaos.works("b")
    assert {line.id for line in chaos.lines("b", "start")} == {chaos.sent[-1]}
    assert await chaos.end("b") == 0


async def test_a_drain_that_runs_out_of_time_ends_and_its_events_run_anew(chaos: Chaos, tmp_path: Path) -> None:
    chaos.start("a", TURNLOG_LIMITS__DRAIN_SECONDS="1")
    enough = tmp_path / "enough"
    long = await chaos.put("k", enough)
    short = await chaos.put("k", 0.05)
    await chaos.until(lambda: long in chaos.ids("start"))
    assert await chaos.end("a") == 0
    assert [line.what for line in chaos.lines("a")] == ["start", "cancel"]
    enough.touch()
    chaos.start("b")
    await chaos.until(lambda: chaos.ids("end") == {long, short})
    assert chaos.overlaps_and_disorder() == []
    assert await chaos.end("b") == 0


async def test_a_worker_that_was_frozen_for_longer_than_its_session_works_on_in_the_same_process(chaos: Chaos) -> None:
    for name in ("a", "b"):
        chaos.start(name)
    async with asyncio.timeout(60):
        while not (chaos.lines("a") and chaos.lines("b")):  # until the second has joined
            for number in range(DOCUMENTS.partitions):
                await chaos.put(f"warm-{number}", 0.05, partition=number)
            await asyncio.sleep(1)
    await chaos.until(lambda: chaos.ids("end") == set(chaos.sent))
    await chaos.commits()
    held = [await chaos.put(f"held-{number}", 9.0, partition=number) for number in range(DOCUMENTS.partitions)]
    await chaos.until(lambda: chaos.ids("start") >= set(held))
    frozen = {line.id for line in chaos.lines("a", "start")} & set(held)
    chaos.workers["a"].send_signal(signal.SIGSTOP)
    await chaos.until(lambda: {line.id for line in chaos.lines("b", "start")} >= frozen)
    before = set(chaos.sent)
    chaos.workers["a"].send_signal(signal.SIGCONT)
    async with asyncio.timeout(60):
        while not {line.id for line in chaos.lines("a", "start")} - before:
            await chaos.put(f"after-{len(chaos.sent)}", 0.05)
            await asyncio.sleep(0.3)
    await chaos.until(lambda: chaos.ids("end") == set(chaos.sent))
    assert chaos.claimed_and_not_finished() == []
    assert [await chaos.end("a"), await chaos.end("b")] == [0, 0]
