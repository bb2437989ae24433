"""A server that says on the wire what a test tells it to: bytes after bytes, however odd."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from infra.providers.openai import OpenAIDialect
from infra.providers.pace import Pace
from infra.providers.provider import Provider
from infra.settings import Limits

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(**said: Any) -> bytes:
    """One chunk of a chat completion, in an HTTP chunk."""
    return chunk(b"data: " + json.dumps({"object": "chat.completion.chunk", **said}).encode() + b"\n\n")


def piece(text: str, finish_reason: str | None = None) -> bytes:
    """A piece of an answer."""
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}])


def whole(status: int, body: dict[str, Any]) -> bytes:
    """A response that is no stream."""
    data = json.dumps(body).encode()
    return b"HTTP/1.1 %d Said\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        status,
        len(data),
        data,
    )


OPEN_DONE = chunk(b"data: [DONE]\n\n")  # and the body stays open
DONE = OPEN_DONE + END


@dataclass
class FakeOpenAI:
    """What it was asked, and when a client left it. It sends `script`, then `closes` or waits for the next request."""

    script: Sequence[bytes] = ()
    closes: bool = False
    heads: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._respond(reader, writer)
                if self.closes:
                    break
        self.left.set()
        writer.close()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length"))
        self.bodies.append(json.loads(await reader.readexactly(length)))
        for part in self.script:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(
    *script: bytes, closes: bool = False, key: str | None = "secret-key"
) -> AsyncIterator[tuple[FakeOpenAI, Provider]]:
    """A server with this script, and a provider that asks it."""
    fake = FakeOpenAI(script, closes)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, Pace.open(Limits()) as pace:
        provider = Provider("hosted", url, OpenAIDialect("hosted", url, SecretStr(key) if key else None), pace)
        yield fake, provider
        provider.close()
