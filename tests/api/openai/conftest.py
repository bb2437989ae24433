"""A house whose questions are answered, for clients of OpenAI's protocol."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from infra.settings import Settings
from tests.api.house import House, open_house
from tests.chatting import answering

GONE_SECONDS = 1.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    """A house whose questions are answered, and that waits for readers a second only."""
    limits = settings.limits.model_copy(update={"reader_gone_seconds": GONE_SECONDS})
    settings = settings.model_copy(update={"limits": limits})
    async with open_house(settings) as opened, answering(settings):
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def anna(house: House) -> httpx.AsyncClient:
    """Somebody who asks."""
    return await house.user("anna")
