"""Waiting for a server that is not there yet, and saying so."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

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
