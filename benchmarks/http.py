"""A load client that costs little itself: HTTP/1.1 on a bare protocol, so that the two cores measure the server."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools
import orjson

OnData = Callable[[bytes], None]


@dataclass
class Answer:
    """One response: status, and the body unless somebody took its data as it came."""

    status: int = 0
    body: bytearray = field(default_factory=bytearray)

    def json(self) -> Any:
        """The body, as JSON; raises RuntimeError with it for a status of 400 and above."""
        self.raise_for_status()
        return orjson.loads(self.body)

    def raise_for_status(self) -> None:
        """Raises RuntimeError with the body for a status of 400 and above."""
        if self.status >= 400:
            raise RuntimeError(f"HTTP {self.status}: {bytes(self.body[:400])!r}")


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[Answer] | None = None
        self._on_data: OnData | None = None

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connects to the host of an http:// address."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: cls(parts.netloc), parts.hostname or "127.0.0.1", parts.port or 80
        )
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done and not self._done.done():
            self._done.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        if self._on_data and self._answer.status < 400:
            self._on_data(data)
        else:
            self._answer.body += data

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._answer.status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._done and not self._done.done():
            self._done.set_result(self._answer)

    def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b"", on_data: OnData | None = None
    ) -> Awaitable[Answer]:
        """Sends a request; `on_data` gets the body as it comes."""
        assert self._transport is not None
        self._parser, self._answer, self._on_data = httptools.HttpResponseParser(self), Answer(), on_data
        self._done = asyncio.get_running_loop().create_future()
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return self._done

    def close(self) -> None:
        """Closes the connection."""
        if self._transport:
            self._transport.close()


@dataclass
class Stream:
    """What a streamed answer looked like from outside; times in seconds of `time.perf_counter`."""

    asked: float = field(default_factory=time.perf_counter)
    first: float = 0.0
    last: float = 0.0
    longest_gap: float = 0.0
    texts: list[str] = field(default_factory=list)
    rest: bytes = b""

    def piece(self, text: str) -> None:
        """Notes a piece of text that came now."""
        now = time.perf_counter()
        if self.first:
            self.longest_gap = max(self.longest_gap, now - self.last)
        else:
            self.first = now
        self.last = now
        self.texts.append(text)

    def sse(self, key: str) -> OnData:
        """A reader of SSE bytes that notes each JSON data's text under `key`."""
        mark = b'"' + key.encode() + b'"'

        def take(data: bytes) -> None:
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data:") and mark in line and (text := orjson.loads(line[5:]).get(key)):
                    self.piece(text)

        return take
