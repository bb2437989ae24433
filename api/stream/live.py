"""Everything a replica needs to serve streams: the tail, its readers, one pinger for all, and an eye on the servers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress

from api.caller import Caller
from api.stream.follow import Reader
from api.stream.frames import Place
from api.stream.response import EventStream, Streams
from api.stream.tail import Tail
from api.stream.told import Look
from infra.objects import Objects
from infra.postgres.pool import Pool, connection
from infra.settings import Settings
from infra.waiting import end
from schemas.codec import Codec
from schemas.errors import Unavailable

PING_SECONDS = 10.0
LOOK_SECONDS = 2.0
MISSING_SECONDS = 3.0
CLOSED_SECONDS = 1.0
Frames = AsyncGenerator[bytes, None]
IsOpen = Callable[[Caller], Awaitable[bool]]


class LiveAnswers:
    """Serves streams of answers."""

    def __init__(
        self, settings: Settings, tail: Tail, codec: Codec, objects: Objects, db: Pool, is_open: IsOpen
    ) -> None:
        self._settings, self._tail, self._codec, self._objects, self._db = settings, tail, codec, objects, db
        self._is_open = is_open
        self._streams = Streams()
        self.missing: tuple[str, ...] = ()  # servers that do not answer

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, codec: Codec, objects: Objects, db: Pool, is_open: IsOpen
    ) -> AsyncIterator["LiveAnswers"]:
        """Returns when the tail has caught up. `is_open` says whether a caller may go on reading."""
        async with Tail.open(settings, codec, db) as tail:
            live = cls(settings, tail, codec, objects, db, is_open)
            tasks = [
                asyncio.create_task(job) for job in (live._ping(), live._cut_slow(), live._cut_closed(), live._watch())
            ]
            try:
                yield live
            finally:
                await end(tasks)

    @property
    def lag(self) -> int:
        """Records of `answers-live` that are not read yet."""
        return self._tail.lag

    def look(self, caller: Caller, turn_id: str) -> Look:
        """Looks a turn up with its caller's rights."""
        return Look(self._db, self._codec, self._objects, caller, turn_id)

    def stream(
        self,
        caller: Caller,
        turn_id: str,
        place: Place,
        head: dict[str, str],
        *,
        new: bool = False,
        said_as: Callable[[Frames], Frames] | None = None,
        left: Callable[[], None] | None = None,
    ) -> EventStream:
        """A response that follows a turn from a place to its end. Subscribed when this returns.

        `said_as` puts its frames into another protocol; `left` is called when the reader left, or had everything.
        """
        stack = ExitStack()
        if left is not None:
            stack.callback(left)
        frames = stack.enter_context(self.following(caller, turn_id, place, new=new))
        return EventStream(said_as(frames) if said_as else frames, self._streams, caller, stack.close, head)

    @contextmanager
    def following(self, caller: Caller, turn_id: str, place: Place, *, new: bool = False) -> Iterator[Frames]:
        """The frames of a turn from a place to its end, for as long as the context is open."""
        with self._tail.reading(turn_id) as answer:
            yield Reader(answer, place, self.look(caller, turn_id).told, self._tail.trouble).frames(new=new)

    async def until_closed(self, caller: Caller) -> None:
        """Returns when a caller may not go on: who waits for a whole answer is no stream that could be cut off."""
        while True:
            with suppress(Unavailable):
                if not await self._is_open(caller):
                    return
            await asyncio.sleep(CLOSED_SECONDS)

    def readers_of(self, turn_id: str) -> int:
        """How many read a turn at this replica."""
        return self._tail.readers_of(turn_id)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            self._wake(more=False)

    def _wake(self, *, more: bool) -> None:
        for answer in self._tail.answers:
            answer.wake(more)

    async def _cut_slow(self) -> None:
        while True:
            seconds = self._settings.limits.ended_answers_seconds
            await asyncio.sleep(min(LOOK_SECONDS, seconds))
            self._streams.cut_slow(seconds)

    async def _cut_closed(self) -> None:
        while True:
            await asyncio.sleep(CLOSED_SECONDS)
            with suppress(Unavailable):  # nobody is cut off because a database is away
                await self._streams.cut_closed(self._is_open)

    async def _watch(self) -> None:
        """Asks the broker and the database whether they are there."""
        probes = {"kafka": self._tail.ask_broker, "postgres": self._ask_postgres}
        asked: dict[str, asyncio.Task[None]] = {}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            asked |= {name: asyncio.create_task(probe()) for name, probe in probes.items() if name not in asked}
            await asyncio.wait(asked.values(), timeout=MISSING_SECONDS)
            missing = [name for name, task in asked.items() if not task.done() or task.exception() is not None]
            asked = {name: task for name, task in asked.items() if not task.done()}
            self.missing = tuple(missing)
            server = missing[0] if missing else None
            if self._tail.trouble.server != server:
                self._tail.trouble.server = server
                self._wake(more=True)

    async def _ask_postgres(self) -> None:
        async with connection(self._db) as db:
            await db.execute("select 1")
