"""Waiting for servers that are away: back-off with full jitter, said now and then, seen by the watchdog."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from infra.waiting import backoff_seconds
from schemas.errors import Unavailable
from streams.metrics import WorkerMetrics

T = TypeVar("T")
log = structlog.get_logger()
LONGEST_SECONDS = 5.0
SAY_SECONDS = 10.0

Backoff = Callable[[int], float]
Told = Callable[[Unavailable], Awaitable[None]]


def longest_five_seconds(tried: int) -> float:
    """How long to back off after so many tries."""
    return backoff_seconds(tried, LONGEST_SECONDS)


class Patience:
    """One worker's waits. `waiting`: how many of its events back off now."""

    def __init__(self, metrics: WorkerMetrics, backoff: Backoff = longest_five_seconds) -> None:
        self._seconds = backoff
        self._said: dict[str, float] = {}
        self.waiting = 0
        metrics.waiting.set_function(lambda: self.waiting)

    async def until_done(self, what: str, call: Callable[[], Awaitable[T]], told: Told | None = None) -> T:
        """Calls until no server that it needs is away; `told` hears of each wait, and ends it by raising."""
        waited = 0
        while True:
            try:
                return await call()
            except Unavailable as exc:
                self._say(what, exc)
                if told is not None:
                    await self._tell(told, exc)
                await self.back_off(waited)
                waited += 1

    async def back_off(self, tried: int) -> None:
        """Rests, for longer the more often it was tried."""
        self.waiting += 1
        try:
            await asyncio.sleep(self._seconds(tried))
        finally:
            self.waiting -= 1

    async def _tell(self, told: Told, exc: Unavailable) -> None:
        try:
            await told(exc)
        except Unavailable as again:
            self._say("telling of a wait", again)

    def _say(self, what: str, exc: Unavailable) -> None:
        """Once in a while for each server: a thousand events may wait for the same one."""
        now = asyncio.get_running_loop().time()
        if now - self._said.get(exc.server, -SAY_SECONDS) >= SAY_SECONDS:
            self._said[exc.server] = now
            log.warning("waiting for a server", server=exc.server, reason=exc.reason, what=what)
