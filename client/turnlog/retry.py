"""Which failures pass by themselves, and how long to wait before the next try."""

import random
from collections.abc import Callable

import httpx

from turnlog.errors import Problem, TurnlogError, Unreachable

Retrying = Callable[[TurnlogError, float, float], None]  # what failed, for how many seconds, how many are left
AGAIN_STATUSES = {202, 429, 502, 503, 504}
AGAIN_KINDS = {"in-progress"}  # the first try of this write is on its way: the next one joins it


def in_silence(_failure: TurnlogError, _tried_seconds: float, _left_seconds: float) -> None:
    """Tells nobody that it is tried again."""


def passes(problem: Problem) -> bool:
    """Whether another try may fare better."""
    return problem.status in AGAIN_STATUSES or problem.kind in AGAIN_KINDS


def pending(answer: httpx.Response) -> bool:
    """True for "not yet": what was asked for is not there, but it will be."""
    return answer.status_code == 202 and answer.headers.get("content-type", "").startswith("application/problem+json")


def unreachable(address: httpx.URL, exc: Exception) -> Unreachable:
    """What to tell when nobody answers."""
    said = str(exc) or type(exc).__name__
    return Unreachable(f"{address} does not answer: {said}", "Is it running? `make run` starts one; see TURNLOG_URL.")


def pause_seconds(tried: int) -> float:
    """Exponential back-off with full jitter."""
    return random.uniform(0.05, min(3.0, 0.2 * 2.0 ** min(tried, 8)))


def asked_pause_seconds(answer: httpx.Response) -> float:
    """What the server asked for in Retry-After; 0: nothing that can be read."""
    asked = answer.headers.get("retry-after", "")
    return float(asked) if asked.isdigit() else 0.0
