"""A turn's events as they come: a cut connection is taken up again where it broke, at any replica."""

import time
from asyncio import sleep
from collections.abc import AsyncIterator

import httpx

from turnlog.aio.http import AsyncHttp
from turnlog.errors import Problem, TurnlogError, Unreachable
from turnlog.model import Ended, StreamItem
from turnlog.paths import path
from turnlog.retry import passes, pause_seconds, unreachable
from turnlog.sse import Parser, ServerEvent
from turnlog.stream import item_of

ALIVE_SECONDS = 15.0  # a connection that held longer was kept up by the server's pings


async def follow(http: AsyncHttp, turn_id: str, last_id: str = "") -> AsyncIterator[StreamItem]:
    """Everything from the start (or after `last_id`) to `Ended`; raises Problem, or Unreachable after long silence."""
    heard, tried = time.monotonic(), 0
    while True:
        connecting = time.monotonic()
        try:
            async for event in _connected(http, turn_id, last_id):
                last_id, heard, tried = event.last_id, time.monotonic(), 0
                if (item := item_of(event)) is not None:
                    yield item
                if isinstance(item, Ended):
                    return
            failure: TurnlogError = Unreachable(f"The stream of turn {turn_id} ended too early")
        except httpx.TransportError as exc:
            failure = unreachable(http.pool.base_url, exc)
        except Problem as problem:
            if not passes(problem):
                raise
            failure = problem
        if time.monotonic() - connecting > ALIVE_SECONDS:
            heard, tried = time.monotonic(), 0
        pause = pause_seconds(tried)
        tried += 1
        seconds = time.monotonic() - heard
        if seconds + pause > http.give_up_seconds:
            raise failure
        http.retrying(failure, seconds, http.give_up_seconds - seconds)
        await sleep(pause)


async def _connected(http: AsyncHttp, turn_id: str, last_id: str) -> AsyncIterator[ServerEvent]:
    headers = {"accept": "text/event-stream"} | ({"last-event-id": last_id} if last_id else {})
    async with http.pool.stream("GET", path("turns", turn_id, "events"), headers=headers) as answer:
        if not answer.is_success:
            await answer.aread()
            raise Problem.of(answer)
        parser = Parser(last_id)
        async for chunk in answer.aiter_bytes():
            for event in parser.take(chunk):
                yield event
