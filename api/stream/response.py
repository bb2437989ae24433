"""An SSE response without a task group: one task writes, another only waits for the reader to leave."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.caller import Caller

log = structlog.get_logger()
HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}


class EventStream(Response):
    """Frames as they come. A reader that does not read is cut off by `Streams`, and resumes where it was."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        streams: "Streams",
        caller: Caller,
        left: Callable[[], None],
        headers: dict[str, str],
    ) -> None:
        super().__init__(None, 200, HEADERS | headers)
        self.caller = caller
        del self.headers["content-length"]
        self._frames, self._streams, self._left = frames, streams, left
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self.writing_since = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Writes until the end, until the reader left, or until it is cut off."""
        self._task = asyncio.current_task()
        gone = asyncio.create_task(self._gone(receive))
        self._streams.open.add(self)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for frame in self._frames:
                await self._write(send, frame, more=True)
            await self._write(send, b"", more=False)
        except asyncio.CancelledError:
            if not self._over:
                raise
        finally:
            self._streams.open.discard(self)
            gone.cancel()
            await self._frames.aclose()
            self._left()

    async def _write(self, send: Send, frame: bytes, *, more: bool) -> None:
        """Returns as soon as the server takes it: it holds a writer back whose reader does not read."""
        self.writing_since = time.monotonic()
        await send({"type": "http.response.body", "body": frame, "more_body": more})
        self.writing_since = 0.0

    def cut(self) -> None:
        """Ends the response where it is."""
        if self._task is not None and not self._over:
            self._over = True
            self._task.cancel()

    async def _gone(self, receive: Receive) -> None:
        await hung_up(receive)
        self.cut()


async def hung_up(receive: Receive) -> None:
    """Returns when the client has left; its request must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Streams:
    """The open responses of a replica."""

    def __init__(self) -> None:
        self.open: set[EventStream] = set()

    def cut_slow(self, seconds: float) -> None:
        """Cuts off every reader that has not taken what was written for so long."""
        old = time.monotonic() - seconds
        for stream in list(self.open):
            if 0 < stream.writing_since < old:
                log.info("cut off a reader that does not read", seconds=seconds)
                stream.cut()

    async def cut_closed(self, is_open: Callable[[Caller], Awaitable[bool]]) -> None:
        """Cuts off every reader whose key may not go on; raises Unavailable when that cannot be told."""
        closed = {caller for caller in {stream.caller for stream in self.open} if not await is_open(caller)}
        for stream in list(self.open):
            if stream.caller in closed:
                log.info("cut off a reader whose key was closed", key_id=stream.caller.key_id)
                stream.cut()
