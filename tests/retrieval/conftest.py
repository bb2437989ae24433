"""The library of a test module."""

from collections.abc import AsyncIterator

import pytest_asyncio

from infra.settings import Settings
from tests.streams.documents.library import Library, open_library


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def library(settings: Settings) -> AsyncIterator[Library]:
    """Steps, views and search on an installation of its own."""
    async with open_library(settings) as found:
        yield found
