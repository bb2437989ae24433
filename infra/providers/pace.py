"""One tick for all answers of a process: sockets are read, and text handed over, at most once a tick."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from infra.settings import Limits
from infra.waiting import end

if TYPE_CHECKING:
    from infra.providers.generation import Generation


class Pace:
    """Flushes running generations; a first piece at once, the others together. Sleeps while none is running."""

    def __init__(self, limits: Limits) -> None:
        self._tick_seconds = limits.coalesce_seconds
        self._silence_seconds = limits.between_pieces_seconds
        self._running: dict[Generation, None] = {}
        self._busy = asyncio.Event()
        self._at_once: list[Generation] = []
        self._flushes: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, limits: Limits) -> AsyncIterator["Pace"]:
        """A pace that ticks until the context is left."""
        pace = cls(limits)
        ticking = asyncio.create_task(pace._tick())
        try:
            yield pace
        finally:
            await end({ticking, *pace._flushes})

    def add(self, generation: "Generation") -> None:
        """Begins to flush it."""
        self._running[generation] = None
        self._busy.set()

    def remove(self, generation: "Generation") -> None:
        """Nothing of it is flushed any more."""
        self._running.pop(generation, None)
        if not self._running:
            self._busy.clear()

    def flush_at_once(self, generation: "Generation") -> None:
        """Flushes it with all others whose first piece came in this turn of the loop."""
        self._at_once.append(generation)
        if len(self._at_once) == 1:
            asyncio.get_running_loop().call_soon(self._flush_first)

    def _flush_first(self) -> None:
        first, self._at_once = self._at_once, []
        self._flush(first)

    def _flush(self, generations: "list[Generation]") -> None:
        """One task for all: it costs a few microseconds an answer, and a later one passes by whoever has to wait."""
        task = asyncio.create_task(_flush_each(generations))
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._busy.wait()
            due = max(due + self._tick_seconds, loop.time())
            await asyncio.sleep(due - loop.time())
            await self._read()
            silent = loop.time() - self._silence_seconds
            for generation in list(self._running):
                generation.give_up_if_silent_since(silent)
            if waiting := [generation for generation in self._running if generation.has_text]:
                self._flush(waiting)

    async def _read(self) -> None:
        """Lets every paused socket be read once; the loop needs its turns to see them and to hear of what they hold."""
        for generation in self._running:
            generation.resume()
        for _ in range(3):
            await asyncio.sleep(0)


async def _flush_each(generations: "list[Generation]") -> None:
    for generation in generations:
        await generation.flush()
