"""Statements of one kind that come close upon each other go together: one round trip, one commit for many callers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from schemas.errors import Unavailable

A = TypeVar("A")
R = TypeVar("R")
GATHER_SECONDS = 0.01
CLOSE_SECONDS = 0.02  # callers that come closer upon each other than that, on average, gather
NEWEST_COUNTS = 0.1  # of that average
MOST = 50


def columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as what `unnest` takes: an array for each column."""
    return [list(column) for column in zip(*rows, strict=True)]


class Together(Generic[A, R]):
    """`run` does some and gives a result for each, in their order; all of them are one transaction.

    Whoever comes alone goes at once; who comes while others are under way goes with the next ones, and where many come
    they wait a moment for each other. When several fail together each is tried alone: nobody fails for what another
    sent.
    """

    def __init__(self, run: Callable[[Sequence[A]], Awaitable[Sequence[R]]]) -> None:
        self._run = run
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._going: asyncio.Task[None] | None = None
        self._alone = False  # somebody goes by itself, which costs no task
        self._came_at, self._apart = 0.0, 1.0

    async def do(self, asked: A) -> R:
        """Its result; raises what `run` does."""
        loop = asyncio.get_running_loop()
        came_at = loop.time()
        self._apart += NEWEST_COUNTS * (min(1.0, came_at - self._came_at) - self._apart)
        self._came_at = came_at
        if not (self._many or self._alone or self._going):
            self._alone = True
            try:
                return (await self._run([asked]))[0]
            finally:
                self._alone = False
                self._go_on()
        done: asyncio.Future[R] = loop.create_future()
        self._waiting.append((asked, done))
        self._go_on()
        return await done

    @property
    def _many(self) -> bool:
        return self._apart < CLOSE_SECONDS

    def _go_on(self) -> None:
        if self._waiting and not (self._alone or self._going):
            self._going = asyncio.create_task(self._go())

    async def _go(self) -> None:
        while self._waiting:
            if self._many:
                await asyncio.sleep(GATHER_SECONDS)
            group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            await self._settle([(asked, done) for asked, done in group if not done.cancelled()])
        self._going = None

    async def _settle(self, group: Sequence[tuple[A, "asyncio.Future[R]"]]) -> None:
        try:
            results = await self._run([asked for asked, _ in group]) if group else ()
        except Unavailable as exc:
            for _, done in group:
                _fail(done, Unavailable(exc.server, exc.reason))
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            if len(group) == 1:
                _fail(group[0][1], exc)
            else:
                for one in group:
                    await self._settle([one])
        else:
            for (_, done), result in zip(group, results, strict=True):
                if not done.done():
                    done.set_result(result)


def _fail(done: "asyncio.Future[R]", exc: Exception) -> None:
    if not done.done():
        done.set_exception(exc)
