"""A worker that lives and does nothing is ended, by what the broker says of its topics."""

import pytest

from streams.watchdog import EX_SOFTWARE
from tests.faults.delivery.chaos import Chaos

pytestmark = pytest.mark.timeout(300)  # processes start and end, on a machine that may be busy


async def test_a_consumer_that_no_longer_fetches_is_ended_for_the_supervisor_to_start_it_anew(chaos: Chaos) -> None:
    chaos.start("asleep", CHAOS_CONSUMER="asleep", TURNLOG_INSTANCE="one", TURNLOG_LIMITS__STALLED_SECONDS="4")
    await chaos.put("k", 0.05)
    assert await chaos.ended("asleep", 60) == EX_SOFTWARE
    assert "1 records wait, and nothing moved" in chaos.output("asleep")
    chaos.start("awake", TURNLOG_INSTANCE="one", TURNLOG_LIMITS__STALLED_SECONDS="8")
    await chaos.works("awake")
    await chaos.put("k", 12.0)  # longer than the watchdog waits, and no stall: it runs
    await chaos.until(lambda: chaos.ids("end") == set(chaos.sent))
    assert await chaos.end("awake") == 0


@pytest.mark.parametrize("consumer", ["mute", "outside"])
async def test_so_is_one_that_does_not_say_where_it_is_and_one_that_never_joins(chaos: Chaos, consumer: str) -> None:
    await chaos.put("k", 0.05)
    chaos.start("stalls", CHAOS_CONSUMER=consumer, TURNLOG_LIMITS__STALLED_SECONDS="4")
    assert await chaos.ended("stalls", 60) == EX_SOFTWARE
    assert "1 records wait, and nothing moved" in chaos.output("stalls")


async def test_a_handler_that_runs_for_longer_than_anything_may_is_ended(chaos: Chaos) -> None:
    await chaos.put("k", 3600.0)
    chaos.start("hangs", TURNLOG_LIMITS__TURN_DEADLINE_SECONDS="2", TURNLOG_LIMITS__DRAIN_SECONDS="1")
    assert await chaos.ended("hangs", 60) == EX_SOFTWARE
    assert "a handler has run for" in chaos.output("hangs")
