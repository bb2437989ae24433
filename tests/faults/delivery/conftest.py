"""A group of workers to kill, on an installation of their own for each test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from infra.kafka.publisher import Publisher
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from tests.conftest import installation
from tests.faults.delivery.chaos import Chaos
from tests.servers import Servers
from topics.catalogue import DOCUMENTS_LOCAL, OURS


@pytest.fixture
def fresh(servers: Servers, tmp_path: Path) -> Iterator[Settings]:
    """An installation for one test: what one of these tests leaves on its topics would change the next."""
    with installation(servers, tmp_path) as settings:
        yield impatient(settings)


@pytest.fixture
def fragile(breakable_servers: Servers, tmp_path: Path) -> Iterator[Settings]:
    """The same, on servers that may be broken."""
    with installation(breakable_servers, tmp_path) as settings:
        yield impatient(settings)


@pytest_asyncio.fixture
async def chaos(fresh: Settings, tmp_path: Path) -> AsyncIterator[Chaos]:
    """Workers that are ended after the test, whatever became of it."""
    async with open_chaos(fresh, tmp_path) as found:
        yield found


@pytest_asyncio.fixture
async def fragile_chaos(fragile: Settings, tmp_path: Path) -> AsyncIterator[Chaos]:
    """The same, on servers that may be broken."""
    async with open_chaos(fragile, tmp_path) as found:
        yield found


def impatient(settings: Settings) -> Settings:
    """The shortest session that a broker allows by default, and the drain of an embedded installation."""
    limits = settings.limits.model_copy(update={"consumer_session_seconds": 6, "drain_seconds": 10})
    return settings.model_copy(update={"limits": limits})


@asynccontextmanager
async def open_chaos(settings: Settings, folder: Path) -> AsyncIterator[Chaos]:
    """A publisher for the load, and no worker yet."""
    registry = RegistryClient(settings)
    await registry.load((*OURS, DOCUMENTS_LOCAL))
    codec = Codec(registry)
    async with Publisher.open(settings, codec) as publisher:
        found = Chaos(settings, codec, publisher, folder / "log")
        try:
            yield found
        finally:
            found.close()
    await registry.close()
