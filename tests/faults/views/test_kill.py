"""kill -9 of the views worker while the log grows: nothing is lost, nothing is folded twice, nothing is left half."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import psycopg

from infra.access import record_key
from infra.kafka.publisher import Publisher
from infra.postgres.freshness import Freshness, end_offsets
from infra.postgres.migrate import superuser_dsn
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.access import GroupMemberAdded, GroupMemberRemoved
from schemas.codec import Codec
from schemas.event import Event
from tests.environment import environment
from topics.catalogue import ACCESS_CHANGES

KILLS, FOLDED_BEFORE_EACH, SECONDS = 4, 40, 60


async def test_the_views_are_exact_after_any_number_of_kills(settings: Settings) -> None:
    async with Freshness.open(settings, "views") as freshness:
        enough = asyncio.Event()
        growing = asyncio.create_task(grow(settings, enough))
        for _ in range(KILLS):
            async with folding(settings):
                await moved(freshness, FOLDED_BEFORE_EACH)
        enough.set()
        said = await growing
        async with folding(settings):
            assert await freshness.wait_for_all(await end_offsets(settings, (ACCESS_CHANGES,)), SECONDS)
    assert members(settings) == expected(said)


@asynccontextmanager
async def folding(settings: Settings) -> AsyncIterator[None]:
    """A views worker in a process of its own, killed at the end."""
    worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "streams.views", env=environment(settings))
    yield
    worker.kill()
    await worker.wait()


async def grow(settings: Settings, enough: asyncio.Event) -> list[Event]:
    """Members come and go until it is enough."""
    registry = RegistryClient(settings)
    await registry.load((ACCESS_CHANGES,))
    said: list[Event] = []
    async with Publisher.open(settings, Codec(registry)) as publisher:
        for number in count():
            if enough.is_set():
                break
            kind = GroupMemberRemoved if number % 3 == 2 else GroupMemberAdded
            event = kind(group=f"g{number % 40}", user_id=f"u{number % 7}", changed_by="test")
            await publisher.publish(ACCESS_CHANGES, record_key(event), event)
            said.append(event)
            await asyncio.sleep(0.005)
    await registry.close()
    return said


async def moved(freshness: Freshness, by: int) -> None:
    """Returns when so many more records are folded."""
    to = sum(freshness.offsets((ACCESS_CHANGES,)).values()) + by
    async with asyncio.timeout(SECONDS):
        while sum(freshness.offsets((ACCESS_CHANGES,)).values()) < to:
            await freshness.changed(1)


def members(settings: Settings) -> set[tuple[Any, ...]]:
    """Who the views say is in which group."""
    with psycopg.connect(superuser_dsn(settings, settings.postgres_database)) as db:
        return set(db.execute("select group_name, user_id from views.group_members where member").fetchall())


def expected(said: list[Event]) -> set[tuple[Any, ...]]:
    """Who is in which group when everything is heard once, in order."""
    found: set[tuple[Any, ...]] = set()
    for event in said:
        assert isinstance(event, GroupMemberAdded | GroupMemberRemoved)
        pair = event.group, event.user_id
        if isinstance(event, GroupMemberAdded):
            found.add(pair)
        else:
            found.discard(pair)
    return found
