"""`python -m benchmarks.race.upstream PORT`: an OpenAI server on a fixed schedule, that notes who left before the end.

A token that is late goes out with those due by then, so the schedule holds however busy the machine is.
"""

import asyncio
import sys
import time
from functools import cache
from typing import Any, cast

import httptools
import orjson
import uvloop

from benchmarks.race.tokens import Schedule, token

MODEL = "race"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Answer:
    """One stream."""

    def __init__(self, transport: asyncio.Transport, schedule: Schedule, *, usage: bool) -> None:
        self.schedule, self.sent = schedule, 0
        self._transport, self._usage, self._loop = transport, usage, asyncio.get_running_loop()
        self._first = self._loop.time() + schedule.first_ms / 1000
        self._transport.write(HEAD)
        self._timer = self._loop.call_at(self._first, self._say)

    @property
    def over(self) -> bool:
        """Whether every token was sent."""
        return self.sent == self.schedule.count

    def cancel(self) -> None:
        """Says no more."""
        self._timer.cancel()

    def _say(self) -> None:
        apart = self.schedule.apart_ms / 1000
        due = int((self._loop.time() - self._first) / apart) + 1
        due = min(self.schedule.count, max(self.sent + 1, due))
        said = b"".join(map(piece, range(self.sent + 1, due + 1)))
        self.sent = due
        if self.over:
            self._transport.write(said + end(self.sent if self._usage else 0))
        else:
            self._transport.write(said)
            self._timer = self._loop.call_at(self._first + self.sent * apart, self._say)


class Connection(asyncio.Protocol):
    """One request after another."""

    def __init__(self, left: list[dict[str, Any]]) -> None:
        self._left, self._answer = left, cast(Answer | None, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        if self._answer and not self._answer.over:
            self._answer.cancel()
            self._left.append({"name": self._answer.schedule.name, "sent": self._answer.sent, "at": time.monotonic()})

    def on_message_begin(self) -> None:
        """Called by the parser, as all below."""
        self._path, self._body = b"", bytearray()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._path.endswith(b"/chat/completions"):
            self._complete(orjson.loads(self._body))
        elif self._path.endswith(b"/models"):
            self._whole(
                {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "race"}]}
            )
        else:
            self._whole(self._left)

    def _complete(self, asked: dict[str, Any]) -> None:
        schedule = Schedule.parsed(text_of(asked["messages"][-1]["content"]))
        if asked.get("stream"):
            usage = bool((asked.get("stream_options") or {}).get("include_usage"))
            self._answer = Answer(self._transport, schedule, usage=usage)
            return
        message = {"role": "assistant", "content": schedule.text}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        self._whole(head("chat.completion") | {"choices": choices, "usage": usage_of(schedule.count)})

    def _whole(self, said: Any) -> None:
        body = orjson.dumps(said)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)


def text_of(content: Any) -> str:
    """The words of a message, which may come in parts."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def head(kind: str) -> dict[str, Any]:
    """What every object has."""
    return {"id": "chatcmpl-race", "object": kind, "created": 1, "model": MODEL}


def usage_of(count: int) -> dict[str, int]:
    """As OpenAI counts."""
    return {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}


@cache
def piece(number: int) -> bytes:
    """The chunk of one token."""
    delta = {"content": token(number)} | ({"role": "assistant"} if number == 1 else {})
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])


@cache
def end(count: int) -> bytes:
    """The last chunks; with usage when `count` is given."""
    usage = event(choices=[], usage=usage_of(count)) if count else b""
    return (
        event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]) + usage + chunk(b"data: [DONE]\n\n") + END
    )


def event(**said: Any) -> bytes:
    """A chunk of a chat completion."""
    return chunk(b"data: %s\n\n" % orjson.dumps(head("chat.completion.chunk") | said))


def chunk(data: bytes) -> bytes:
    """A chunk of HTTP."""
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"


async def serve(port: int) -> None:
    """Until it is ended."""
    left: list[dict[str, Any]] = []
    server = await asyncio.get_running_loop().create_server(lambda: Connection(left), "127.0.0.1", port, backlog=1000)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
