"""The provider that serves our own models."""

from collections.abc import AsyncIterator

import pytest_asyncio

from infra.models import read_models
from infra.providers.opened import open_providers
from infra.providers.provider import Provider
from tests.servers import Servers


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def triton(servers: Servers) -> AsyncIterator[Provider]:
    """Triton, as models.yaml names it."""
    async with open_providers(servers.settings, read_models(servers.settings)) as providers:
        yield providers["triton"]
