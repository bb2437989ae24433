"""Waiting for a server that is not there yet, and saying so; and for the end of what is not wanted any more."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import structlog

from schemas.errors import Unavailable

T = TypeVar("T")
log = structlog.get_logger()


def backoff_seconds(tried: int, longest: float = 10.0) -> float:
    """Exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015)."""
    return random.uniform(0.05, min(longest, 0.2 * 2.0 ** min(tried, 16)))


async def until_available(server: str, probe: Callable[[], Awaitable[T]], longest: float = 3.0) -> T:
    """Calls `probe` until it no longer raises Unavailable; the first failure, and each tenth, is logged."""
    tried = 0
    while True:
        try:
            result = await probe()
        except Unavailable as exc:
            if tried % 10 == 0:
                log.warning("waiting for a server", server=server, reason=exc.reason)
            await asyncio.sleep(backoff_seconds(tried, longest))
            tried += 1
        else:
            if tried:
                log.info("server is there", server=server)
            return result


async def end(tasks: Iterable[asyncio.Task[Any]], again_seconds: float = 1.0) -> None:
    """Cancels tasks until all have ended, whatever they end with.

    Once is not always enough: before Python 3.12 `asyncio.wait_for`, with which psycopg and aiokafka wait, swallows a
    cancellation that comes together with what it waits for. A process that cancelled once then never ended.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        ended, running = await asyncio.wait(running, timeout=again_seconds)
        await asyncio.gather(*ended, return_exceptions=True)
