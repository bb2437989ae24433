"""Workers that come and go: what is kept goes on, what is lost starts anew elsewhere, a drain leaves nothing behind."""

from tests.faults.delivery.chaos import Chaos
from topics.catalogue import DOCUMENTS

LONG = 9.0


async def test_a_second_worker_takes_some_partitions_and_only_their_events_start_anew(chaos: Chaos) -> None:
    chaos.start("a", CHAOS_RUNNING="1000")
    long = [await chaos.put(f"long-{number}", LONG, partition=number) for number in range(DOCUMENTS.partitions)]
    await chaos.until(lambda: chaos.ids("start") >= set(long))
    chaos.start("b", CHAOS_RUNNING="1000")
    await chaos.until(lambda: chaos.lines("b", "start"))
    await chaos.until(lambda: len(chaos.lines("a", "cancel")) == len(chaos.lines("b", "start")), 5)
    moved = {line.id for line in chaos.lines("a", "cancel")}
    assert moved == {line.id for line in chaos.lines("b", "start")}
    assert 0 < len(moved) < len(long)
    short = [await chaos.put(f"short-{number}", 0.05, partition=number) for number in range(DOCUMENTS.partitions)]
    await chaos.until(lambda: chaos.ids("end") >= set(short), 6)
    assert not chaos.ids("end") & set(long), "the short ones were finished beside the long ones"
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


async def test_a_drain_that_runs_out_of_time_ends_and_its_events_run_anew(chaos: Chaos) -> None:
    chaos.start("a", TURNLOG_LIMITS__DRAIN_SECONDS="1")
    long = await chaos.put("k", 6.0)
    short = await chaos.put("k", 0.05)
    await chaos.until(lambda: long in chaos.ids("start"))
    assert await chaos.end("a", 6) == 0
    assert [line.what for line in chaos.lines("a")] == ["start", "cancel"]
    chaos.start("b")
    await chaos.until(lambda: chaos.ids("end") == {long, short})
    assert chaos.overlaps_and_disorder() == []
    assert await chaos.end("b") == 0
