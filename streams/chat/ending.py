"""Why a turn must end before its answer does: somebody stopped it, or its deadline passed."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Why = Literal["stopped", "deadline"]


class Ending:
    """Heard of at once by whoever waits, and by the model's call."""

    def __init__(self) -> None:
        self.why: Why | None = None
        self._changed = asyncio.Event()
        self._act: Callable[[], None] | None = None

    def now(self, why: Why) -> None:
        """The turn must end; the first reason counts."""
        if self.why is None:
            self.why = why
            self._changed.set()
            if self._act is not None:
                self._act()

    @contextmanager
    def calls(self, act: Callable[[], None]) -> Iterator[None]:
        """Within it, `act` is called when the turn must end (at once, when it must already)."""
        self._act = act
        if self.why is not None:
            act()
        try:
            yield
        finally:
            self._act = None

    async def within(self, seconds: float) -> None:
        """Waits for some seconds, or until the turn must end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def wait(self) -> None:
        """Waits until the turn must end."""
        await self._changed.wait()
