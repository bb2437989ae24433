"""HTTP/1.1 to a model's server on a bare protocol, so that reading costs little and can pause between ticks."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

from schemas.errors import Unavailable

_CONNECT_SECONDS = 10
_IDLE_SECONDS = 4  # uvicorn, below many compatible servers, closes what was idle for 5


@dataclass
class Response:
    """What came of a response so far. `on_data` is called after each read, with whatever that brought."""

    on_data: Callable[[], None]
    status: int | None = None
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    lost: str | None = None


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.closed = False
        self.idle_since = 0.0
        self._paused = False
        self._response: Response | None = None
        self._parser: httptools.HttpResponseParser
        self._transport: asyncio.Transport

    @property
    def free(self) -> bool:
        """Whether it can be asked: it is open, and its last response is complete."""
        return not self.closed and self._response is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def send(self, request: bytes, response: Response) -> None:
        """Writes a request; its response goes to `response`."""
        self._response, self._parser = response, httptools.HttpResponseParser(self)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:  # nobody asked: not usable any more
            return self.abort()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._lose(f"what it sent is no HTTP: {exc}")
            return self.abort()
        return response.on_data()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._lose(f"the connection was lost: {exc}" if exc else "the connection was closed")

    def on_status(self, _reason: bytes) -> None:
        """The parser's: the status line is there."""
        if self._response:
            self._response.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """The parser's: more of the body."""
        if self._response:
            self._response.body += data

    def on_message_complete(self) -> None:
        """The parser's: the response ended, and the connection is free when it may be kept."""
        response, self._response = self._response, None
        if response:
            response.complete = True
        if not self._parser.should_keep_alive():
            self.abort()

    def pause(self) -> None:
        """Leaves what comes to the kernel until `resume`."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads again."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Closes at once: a server that streams sees that nobody listens."""
        self.closed, self._response = True, None
        self._transport.abort()

    def _lose(self, reason: str) -> None:
        response, self._response = self._response, None
        if response:
            response.lost = reason
            response.on_data()


class Connections:
    """Connections to one server, kept for the next request. `server` is the name that errors carry."""

    def __init__(self, server: str, url: str) -> None:
        found = urlsplit(url)
        self._server = server
        self._tls = ssl.create_default_context() if found.scheme == "https" else None
        self._host = found.hostname or ""
        self._port = found.port or (443 if self._tls else 80)
        self._idle: list[Connection] = []

    async def take(self) -> Connection:
        """An idle connection, or a new one; raises Unavailable."""
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            if connection.free and loop.time() - connection.idle_since < _IDLE_SECONDS:
                return connection
            connection.abort()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return (await loop.create_connection(Connection, self._host, self._port, ssl=self._tls))[1]
        except TimeoutError as exc:
            raise Unavailable(self._server, f"no connection in {_CONNECT_SECONDS} s") from exc
        except OSError as exc:
            raise Unavailable(self._server, f"no connection: {exc.strerror or exc}") from exc

    def give_back(self, connection: Connection) -> None:
        """Keeps a connection for when its response is complete, unless it is closed; those too old for use go."""
        now = asyncio.get_running_loop().time()
        while self._idle and now - self._idle[0].idle_since >= _IDLE_SECONDS:
            self._idle.pop(0).abort()
        if not connection.closed:
            connection.resume()
            connection.idle_since = now
            self._idle.append(connection)

    def close(self) -> None:
        """Closes what is idle."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
