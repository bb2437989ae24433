"""Python's cyclic collector, set for processes that live long."""

import gc

NEW_CONTAINERS = 20_000  # between looks at the youngest; Python's own 700 cost a busy chat worker 7 % of its time


def collect_seldom() -> None:
    """For the end of a start: what lives now lives on and is not looked at again, what comes is looked at seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_CONTAINERS, 20, 20)
