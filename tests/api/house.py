"""A whole house to knock at: API and views worker of an installation, and people with keys."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import uvicorn

from api.app import create_app
from api.consistency import AFTER
from infra.access import make_key, record_key
from infra.health import Health
from infra.kafka.publisher import Publisher
from infra.kafka.records import Position
from infra.metrics import new_registry
from infra.postgres.freshness import Freshness
from infra.postgres.migrate import superuser_dsn
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.access import GroupCreated, GroupMemberAdded, UserCreated
from schemas.codec import Codec
from schemas.event import Event
from streams.views.worker import open_folder
from topics.catalogue import ACCESS_CHANGES, OURS, Topic

SECONDS = 60
FOLDED_SECONDS = 20.0  # a busy machine folds late: whether a write is seen is tested everywhere, how soon in few places
EVERYTHING = ("chat", "search", "publish")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals stay those of the test run."""
        yield


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """One API replica on a free port, in this process; gives its address as soon as it listens."""
    causes: list[BaseException] = []
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            create_app(settings, causes.append), access_log=False, log_level="warning", timeout_graceful_shutdown=2
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve([listening]))
        try:
            async with asyncio.timeout(SECONDS):
                while not server.started:
                    await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
    assert not causes, causes


@asynccontextmanager
async def folding(settings: Settings) -> AsyncIterator[None]:
    """The views worker, in this process."""
    async with open_folder(settings, Health(new_registry())) as folder:
        task = asyncio.create_task(folder.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@dataclass
class House:
    """An installation with its doors open. `url`: of one API replica."""

    settings: Settings
    url: str
    publisher: Publisher
    freshness: Freshness
    stack: AsyncExitStack
    people: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    async def tell(self, topic: Topic, key: str, event: Event) -> Position:
        """Puts an event on the log, and waits until the views have it."""
        position = await self.publisher.publish(topic, key, event)
        end = {(topic.name, position.partition): position.offset + 1}
        assert await self.freshness.wait_for_all(end, SECONDS), "the views do not fold"
        return position

    async def access(self, *events: Event) -> None:
        """Changes rights without a door."""
        for event in events:
            await self.tell(ACCESS_CHANGES, record_key(event), event)

    async def user(self, user_id: str, *scopes: str, **limits: Any) -> httpx.AsyncClient:
        """A user who exists from now on, with a key of these scopes (all but admin when none is named)."""
        if user_id not in self.people:
            await self.access(UserCreated(user_id=user_id, name=user_id.title(), created_by="test"))
        self.people[user_id] = client = await self.key(user_id, *scopes, **limits)
        return client

    async def key(self, user_id: str, *scopes: str, **limits: Any) -> httpx.AsyncClient:
        """One more key of a user, as a client."""
        limits = {"requests_per_minute": 100_000} | limits
        key, created = make_key(user_id, "test", scopes or EVERYTHING, "test", **limits)
        await self.access(created)
        return await self.client(key)

    async def client(self, key: str, url: str = "") -> httpx.AsyncClient:
        """A client with a key."""
        head = {"authorization": f"Bearer {key}"}
        return await self.stack.enter_async_context(
            httpx.AsyncClient(base_url=url or self.url, headers=head, timeout=30, trust_env=False)
        )

    async def group(self, name: str, owner: str, *members: str) -> None:
        """A group with members."""
        await self.access(
            GroupCreated(group=name, owner=owner),
            *(GroupMemberAdded(group=name, user_id=user, changed_by="test") for user in members),
        )


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncIterator[House]:
    """API, views and a way to put events on the log."""
    settings = with_limits(settings, read_your_writes_seconds=FOLDED_SECONDS)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(folding(settings))
        url = await stack.enter_async_context(serving(settings))
        registry = RegistryClient(settings)
        stack.push_async_callback(registry.close)
        await registry.load(OURS)
        publisher = await stack.enter_async_context(Publisher.open(settings, Codec(registry)))
        freshness = await stack.enter_async_context(Freshness.open(settings, "api"))
        await until_ready(url)
        yield House(settings, url, publisher, freshness, stack)


def with_limits(settings: Settings, **limits: Any) -> Settings:
    """The settings, but for some limits."""
    return settings.model_copy(update={"limits": settings.limits.model_copy(update=limits)})


async def until_ready(url: str) -> None:
    """Returns when a replica says that it is ready."""
    async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as http, asyncio.timeout(SECONDS):
        while (await http.get(f"{url}/ready")).status_code != 200:
            await asyncio.sleep(0.05)


def after(answer: httpx.Response) -> dict[str, str]:
    """The header that asks for views that have folded a write."""
    return {AFTER: answer.headers["x-turnlog-position"]}


def superuser(settings: Settings) -> psycopg.Connection:
    """A connection that row-level security does not hold: to look at everything, and to break things."""
    return psycopg.connect(superuser_dsn(settings, settings.postgres_database), autocommit=True)
