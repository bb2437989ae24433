"""/live, /ready and /metrics of a process that has no other HTTP server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from infra.metrics import exposition

READ_SECONDS = 5
REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class Health:
    """What a process still waits for. It is ready when nothing is missing; whoever misses something says why."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._missing: dict[str, str] = {}

    def missing(self, what: str, why: str) -> None:
        """Not ready because of this."""
        self._missing[what] = why

    def there(self, what: str) -> None:
        """No longer missing."""
        self._missing.pop(what, None)

    @property
    def waits_for(self) -> dict[str, str]:
        """What is missing, and why; empty: ready."""
        return dict(self._missing)


@asynccontextmanager
async def serve_health(health: Health, host: str, port: int) -> AsyncIterator[int]:
    """Serves on an address and gives its port; port 0 asks the system for a free one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), READ_SECONDS)
            status, kind, body = _respond(health, head)
            writer.write(
                f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                "connection: close\r\n\r\n".encode()
                + body
            )
            await asyncio.wait_for(writer.drain(), READ_SECONDS)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a prober that hung up, or speaks no HTTP
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def _respond(health: Health, head: bytes) -> tuple[int, str, bytes]:
    method, _, rest = head.decode("latin-1").partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if method != "GET":
        return 405, "text/plain", b"GET only\n"
    if path == "/live":
        return 200, "text/plain", b"alive\n"
    if path == "/ready":
        missing = health.waits_for
        return (
            (503 if missing else 200),
            "application/json",
            json.dumps({"ready": not missing, "waits_for": missing}).encode(),
        )
    if path == "/metrics":
        body, kind = exposition(health.registry)
        return 200, kind, body
    return 404, "text/plain", b"there are /live, /ready and /metrics\n"
