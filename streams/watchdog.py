"""Watches progress, not heartbeats: records wait, there is room, and still nothing moves; or a handler never ends."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

EX_SOFTWARE = 70
"""The exit code of a worker that no longer makes progress; a supervisor starts it anew."""
LOOK_SECONDS = 5.0


class Stalled(Exception):
    """Records wait, and nothing was taken or finished for too long; or nothing can be sent any more."""


@dataclass(frozen=True)
class Glance:
    """What a look at a worker shows. `backlog` None: the broker did not say."""

    backlog: int | None  # records on the broker, or in Faust's buffers, that were not taken yet
    moved: int  # records taken and finished so far
    busy: bool  # no room for more, or held events wait for a server: standing still is right
    sender_alive: bool = True
    handling_seconds: float = 0.0  # how long the oldest call of a handler runs


class Watchdog:
    """Remembers when something last moved."""

    def __init__(self, now: float, stalled_seconds: float, handler_seconds: float = math.inf) -> None:
        self._since, self._moved, self._stalled_seconds = now, -1, stalled_seconds
        self._handler_seconds = handler_seconds

    def see(self, glance: Glance, now: float) -> None:
        """Raises Stalled when records have waited for too long beside an idle worker."""
        if not glance.sender_alive:
            raise Stalled("the producer's sender task has ended: nothing can be sent any more")
        if glance.handling_seconds >= self._handler_seconds:
            raise Stalled(f"a handler has run for {glance.handling_seconds:.0f} s: no turn and no document may")
        if not glance.backlog or glance.busy or glance.moved != self._moved:
            self._since, self._moved = now, glance.moved
        elif now - self._since >= self._stalled_seconds:
            raise Stalled(f"{glance.backlog} records wait, and nothing moved for {now - self._since:.0f} s")


async def watch(
    look: Callable[[], Awaitable[Glance]], stalled_seconds: float, handler_seconds: float = math.inf
) -> None:
    """Looks every few seconds; ends only by raising Stalled."""
    watchdog = Watchdog(time.monotonic(), stalled_seconds, handler_seconds)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        watchdog.see(await look(), time.monotonic())
