"""What Postgres says of callers, remembered for a second and forgotten at each change of rights."""

import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from infra.postgres.freshness import Freshness
from topics.catalogue import ACCESS_CHANGES

SECONDS = 1.0  # how long a change takes when its NOTIFY is lost
MOST = 10_000
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Answers of one look-up, by what was asked. What is not there is not remembered."""

    def __init__(self, freshness: Freshness, look_up: Callable[[K], Awaitable[V | None]]) -> None:
        self._look_up = look_up
        self._known: dict[K, tuple[float, V]] = {}
        self._changes = 0
        freshness.on_change(self._forget)

    async def find(self, key: K) -> V | None:
        """The answer, at most a second old, and never from before a change that the views have folded."""
        read_at, found = self._known.get(key, (float("-inf"), None))
        if read_at >= time.monotonic() - SECONDS:
            return found
        changes, read_at = self._changes, time.monotonic()
        found = await self._look_up(key)
        self._known.pop(key, None)
        if found is not None and changes == self._changes and len(self._known) < MOST:
            self._known[key] = (read_at, found)
        return found

    def _forget(self, topics: frozenset[str]) -> None:
        if ACCESS_CHANGES.name in topics or len(self._known) >= MOST:
            self._changes += 1
            self._known.clear()
