"""What Postgres says of callers, remembered for a second and forgotten at each change of rights."""

import asyncio
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
    """Answers of one look-up, by what was asked. What is not there is not remembered.

    Many who ask the same at once make one look-up: else all requests of a busy key ask again each second.
    """

    def __init__(self, freshness: Freshness, look_up: Callable[[K], Awaitable[V | None]]) -> None:
        self._look_up = look_up
        self._known: dict[K, tuple[float, V]] = {}
        self._asked: dict[K, tuple[float, asyncio.Task[V | None]]] = {}
        self._changes = 0
        freshness.on_change(self._forget)

    async def find(self, key: K) -> V | None:
        """The answer, at most a second old, and never from before a change that the views have folded."""
        read_at, found = self._known.get(key, (float("-inf"), None))
        if read_at >= time.monotonic() - SECONDS:
            return found
        asked_at, task = self._asked.get(key, (float("-inf"), None))
        if task is None or asked_at < time.monotonic() - SECONDS:
            task = asyncio.create_task(self._ask(key))
            self._asked[key] = (time.monotonic(), task)
            task.add_done_callback(lambda task: self._answered(key, task))
        return await asyncio.shield(task)  # others wait for it too, whoever goes

    async def _ask(self, key: K) -> V | None:
        changes, read_at = self._changes, time.monotonic()
        found = await self._look_up(key)
        self._known.pop(key, None)
        if found is not None and changes == self._changes and len(self._known) < MOST:
            self._known[key] = (read_at, found)
        return found

    def _answered(self, key: K, task: "asyncio.Task[V | None]") -> None:
        if self._asked.get(key, (0.0, None))[1] is task:
            del self._asked[key]
        if not task.cancelled():
            task.exception()  # nobody may be left to ask for it

    def _forget(self, topics: frozenset[str]) -> None:
        if ACCESS_CHANGES.name in topics or len(self._known) >= MOST:
            self._changes += 1
            self._known.clear()
            self._asked.clear()  # what is under way may have read what was before
