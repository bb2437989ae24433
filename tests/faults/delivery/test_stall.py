"""A worker that lives and does nothing is ended, by what the broker says of its topics."""

from streams.watchdog import EX_SOFTWARE
from tests.faults.delivery.chaos import Chaos


async def test_a_consumer_that_no_longer_fetches_is_ended_for_the_supervisor_to_start_it_anew(chaos: Chaos) -> None:
    chaos.start("asleep", CHAOS_ASLEEP="1", TURNLOG_INSTANCE="one", TURNLOG_LIMITS__STALLED_SECONDS="4")
    await chaos.put("k", 0.05)
    assert await chaos.ended("asleep", 60) == EX_SOFTWARE
    assert "1 records wait, and nothing moved" in chaos.output("asleep")
    chaos.start("awake", TURNLOG_INSTANCE="one", TURNLOG_LIMITS__STALLED_SECONDS="4")
    await chaos.works("awake")
    await chaos.put("k", 12.0)  # longer than the watchdog waits, and no stall: it runs
    await chaos.until(lambda: chaos.ids("end") == set(chaos.sent))
    assert await chaos.end("awake") == 0
