"""A whole installation for each module: the fault decides whether its servers may be shared."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.settings import Settings
from tests.faults.turns.home import Home, open_home


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """Two replicas, views, one chat worker."""
    folder: Path = tmp_path_factory.mktemp("home")
    async with open_home(settings, folder) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fragile_home(breakable_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """The same, on servers that may be broken."""
    folder: Path = tmp_path_factory.mktemp("home")
    async with open_home(breakable_settings, folder) as opened:
        yield opened
