"""Stops reach a turn past every queue: LISTEN, and a look at the flags every 2 s in case a word was lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import psycopg
import structlog

from infra.postgres.pool import conninfo
from infra.settings import Settings
from infra.waiting import backoff_seconds, end
from schemas.errors import Unavailable
from schemas.event import now_ms
from streams.chat.ending import Ending
from streams.chat.turns import Turns

LOOK_SECONDS = 2.0
log = structlog.get_logger()


class Stops:
    """The turns that this worker holds, each with its ending."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._watched: dict[str, list[Ending]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, turns: Turns) -> AsyncIterator["Stops"]:
        """Listens for as long as it is open, through restarts of the database."""
        stops = cls(turns)
        tasks = [asyncio.create_task(stops._listen(conninfo(settings, "chat"))), asyncio.create_task(stops._look())]
        try:
            yield stops
        finally:
            await end(tasks)

    @contextmanager
    def watch(self, turn_id: str, deadline_ms: int) -> Iterator[Ending]:
        """The ending of a turn that is held here."""
        ending = Ending()
        self._watched.setdefault(turn_id, []).append(ending)
        left = max(0.0, (deadline_ms - now_ms()) / 1000)
        timer = asyncio.get_running_loop().call_later(left, ending.now, "deadline")
        try:
            yield ending
        finally:
            timer.cancel()
            self._watched[turn_id].remove(ending)
            if not self._watched[turn_id]:
                del self._watched[turn_id]

    def _stop(self, turn_id: str) -> None:
        for ending in self._watched.get(turn_id, ()):
            ending.now("stopped")

    async def _listen(self, dsn: str) -> None:
        tried = 0
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as db:
                    await db.execute("listen turn_stops")
                    tried = 0
                    async for notify in db.notifies():
                        self._stop(notify.payload)
            except psycopg.Error as exc:
                log.warning("waiting for a server", server="postgres", reason=str(exc).partition("\n")[0])
                await asyncio.sleep(backoff_seconds(tried, 3))
                tried += 1

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._watched:
                with suppress(Unavailable):
                    for turn_id in await self._turns.stopped(list(self._watched)):
                        self._stop(turn_id)
