"""A chat worker for tests, and a reader of streams that can leave whenever it likes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from infra.health import Health
from infra.metrics import new_registry
from infra.settings import Settings
from streams.app import Open
from streams.chat.agents import open_chat
from streams.process import open_worker

SECONDS = 60


@dataclass(frozen=True)
class Said:
    """One event of a stream; a ping has no kind."""

    kind: str
    id: str | None
    data: dict[str, Any]

    @property
    def place(self) -> tuple[int, int, int]:
        """attempt, seq, position."""
        assert self.id is not None
        attempt, seq, position = map(int, self.id.split("."))
        return attempt, seq, position


def answering(settings: Settings) -> AbstractAsyncContextManager[None]:
    """A chat worker, in this process; returns when it has its partitions."""
    return working("chat", open_chat, settings)


@asynccontextmanager
async def working(name: str, open_pipeline: Open, settings: Settings) -> AsyncIterator[None]:
    """A worker, in this process; returns when it has its partitions."""
    health = Health(new_registry())
    health.missing("start", "starting")
    stop = asyncio.Event()
    async with open_worker(name, open_pipeline, settings, health) as worker:
        task = asyncio.create_task(worker.run(stop))
        try:
            async with asyncio.timeout(SECONDS):
                while "start" in health.waits_for:
                    await asyncio.sleep(0.02)
            yield
        finally:
            stop.set()
            assert await task == 0


async def events(response: httpx.Response) -> AsyncIterator[Said]:
    """The events of a stream, pings among them."""
    kind, place, data = "", None, b"{}"
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        match name:
            case "event":
                kind = value
            case "id":
                place = value
            case "data":
                data = value.encode()
            case "" if kind or value:
                yield Said(kind, place, orjson.loads(data))
                kind, place, data = "", None, b"{}"


async def conversation(client: httpx.AsyncClient) -> str:
    """A new conversation's id."""
    made = await client.post("/v1/conversations", json={})
    assert made.status_code == 201, made.text
    return str(made.json()["conversation_id"])


async def ask(client: httpx.AsyncClient, where: str, question: str, **more: Any) -> str:
    """Asks the paced model; the turn's id."""
    body = {"question": question, "model": "words"} | more
    asked = await client.post(f"/v1/conversations/{where}/turns", json=body)
    assert asked.status_code == 202, asked.text
    return str(asked.json()["turn_id"])


async def follow(
    client: httpx.AsyncClient, turn_id: str, last: str | None = None, until: Callable[[Said], bool] | None = None
) -> list[Said]:
    """Follows a turn from a place; leaves at its end, or as soon as `until` says so."""
    head = {"last-event-id": last} if last else {}
    found: list[Said] = []
    async with asyncio.timeout(SECONDS), client.stream("GET", f"/v1/turns/{turn_id}/events", headers=head) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        async for said in events(response):
            if said.kind:
                found.append(said)
            if said.kind == "ended" or (until is not None and until(said)):
                break
    return found


def joined(found: list[Said]) -> str:
    """The text that a reader has in the end: a restart forgets what was said before."""
    text = ""
    for said in found:
        if said.kind == "restart":
            text = ""
        elif said.kind == "delta":
            text += said.data["text"]
    return text


def words(count: int) -> str:
    """What the paced model says."""
    return "".join(f"w{n} " for n in range(1, count + 1))


async def turn(client: httpx.AsyncClient, turn_id: str) -> dict[str, Any]:
    """A turn as the API shows it."""
    found = await client.get(f"/v1/turns/{turn_id}")
    assert found.status_code == 200, found.text
    shown: dict[str, Any] = found.json()
    return shown


async def ended(client: httpx.AsyncClient, turn_id: str, seconds: float = SECONDS) -> dict[str, Any]:
    """Waits until a turn has its record."""
    until = time.monotonic() + seconds
    while (shown := await turn(client, turn_id))["status"] in ("queued", "running"):
        assert time.monotonic() < until, f"{turn_id} is still {shown['status']}"
        await asyncio.sleep(0.05)
    return shown
