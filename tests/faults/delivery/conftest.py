"""A group of workers to kill, on an installation of their own for each test."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.kafka.publisher import Publisher
from infra.registry.client import RegistryClient
from infra.settings import Settings
from ops.provision import provision, remove
from schemas.codec import Codec
from tests.faults.delivery.chaos import Chaos
from tests.servers import Servers
from topics.catalogue import DOCUMENTS_LOCAL, OURS


@pytest.fixture
def fresh(servers: Servers, tmp_path: Path) -> Iterator[Settings]:
    """An installation for one test: what one of these tests leaves on its topics would change the next."""
    name = f"t{secrets.token_hex(5)}"
    settings = servers.settings.model_copy(
        update={
            "namespace": f"{name}-",
            "postgres_database": name,
            "data": tmp_path / "data",
            "limits": servers.settings.limits.model_copy(update={"consumer_session_seconds": 6, "drain_seconds": 10}),
        }
    )
    for _ in provision(settings):
        pass
    yield settings
    remove(settings)


@pytest_asyncio.fixture
async def chaos(fresh: Settings, tmp_path: Path) -> AsyncIterator[Chaos]:
    """Its workers are ended after the test, whatever became of it."""
    registry = RegistryClient(fresh)
    await registry.load((*OURS, DOCUMENTS_LOCAL))
    codec = Codec(registry)
    async with Publisher.open(fresh, codec) as publisher:
        found = Chaos(fresh, codec, publisher, tmp_path / "log")
        try:
            yield found
        finally:
            found.close()
    await registry.close()
