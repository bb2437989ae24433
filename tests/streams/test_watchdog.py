"""The watchdog: progress against lag, with a clock and looks that the test gives."""

import pytest

from streams.watchdog import Glance, Stalled, Watchdog


def idle(moved: int = 7, backlog: int | None = 3, *, busy: bool = False) -> Glance:
    return Glance(backlog, moved, busy)


def test_records_that_wait_beside_an_idle_worker_for_too_long_are_a_stall() -> None:
    watchdog = Watchdog(0.0, stalled_seconds=60)
    for now in (5.0, 30.0, 64.0):
        watchdog.see(idle(), now)
    with pytest.raises(Stalled, match="3 records wait"):
        watchdog.see(idle(), 65.0)


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(idle(moved=8), id="something moved"),
        pytest.param(idle(backlog=0), id="nothing waits"),
        pytest.param(idle(backlog=None), id="the broker does not answer"),
        pytest.param(idle(busy=True), id="no room, or held events wait for a server"),
    ],
)
def test_the_time_starts_anew(meanwhile: Glance) -> None:
    watchdog = Watchdog(0.0, stalled_seconds=60)
    watchdog.see(idle(), 0.0)
    watchdog.see(meanwhile, 50.0)
    watchdog.see(idle(moved=meanwhile.moved), 100.0)
    with pytest.raises(Stalled):
        watchdog.see(idle(moved=meanwhile.moved), 165.0)


def test_a_handler_that_runs_for_too_long_is_a_stall_and_one_within_its_time_is_not() -> None:
    watchdog = Watchdog(0.0, stalled_seconds=60, handler_seconds=7200)
    watchdog.see(Glance(0, 0, busy=False, handling_seconds=7000), 7000.0)
    with pytest.raises(Stalled, match="a handler has run for 7200 s"):
        watchdog.see(Glance(0, 0, busy=True, handling_seconds=7200), 7200.0)


def test_a_producer_whose_sender_has_ended_is_a_stall_at_once() -> None:
    with pytest.raises(Stalled, match="sender"):
        Watchdog(0.0, stalled_seconds=60).see(Glance(0, 0, busy=False, sender_alive=False), 1.0)
