"""How many answers of a model run at once; whoever waits for a server gives its place to others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.models import Models
from streams.chat.ending import Ending


class Place:
    """A turn's place among the running answers of its model; it may be left and taken again."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._taken = False

    async def take(self, ending: Ending) -> None:
        """Waits for a place, first come, first served; a turn that must end needs none."""
        if self._taken or ending.why:
            return
        if not self._places.locked():
            await self._places.acquire()
            self._taken = True
            return
        waiting, over = asyncio.create_task(self._places.acquire()), asyncio.create_task(ending.wait())
        try:
            await asyncio.wait([waiting, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            if waiting.done():
                self._taken = True
            else:
                waiting.cancel()
                await asyncio.wait([waiting])

    def leave(self) -> None:
        """Gives the place to the next."""
        if self._taken:
            self._taken = False
            self._places.release()


class Places:
    """The places of each model alias."""

    def __init__(self, models: Models) -> None:
        self._of = {alias.name: asyncio.Semaphore(alias.running) for alias in models.aliases.values()}

    @asynccontextmanager
    async def one(self, alias: str, ending: Ending) -> AsyncIterator[Place]:
        """A place of a model; an alias that is no more needs none, because it only fails."""
        place = Place(self._of.get(alias) or asyncio.Semaphore(1))
        try:
            await place.take(ending)
            yield place
        finally:
            place.leave()
