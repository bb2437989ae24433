"""A house of its own for each module of tests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from infra.settings import Settings
from tests.api.house import House, open_house


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    """API and views worker of an installation of its own."""
    async with open_house(settings) as opened:
        yield opened
