"""An issuer, and a house that lets its tokens in."""

from collections.abc import AsyncIterator

import pytest_asyncio

from infra.settings import Oidc, Settings
from tests.api.house import House, open_house
from tests.api.oidc.issuer import AUDIENCE, RunningIssuer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def issuer() -> AsyncIterator[RunningIssuer]:
    """Canaille."""
    async with RunningIssuer.start() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings, issuer: RunningIssuer) -> AsyncIterator[House]:
    """It trusts the issuer; members of its group `operators` administer."""
    oidc = Oidc(
        issuer=issuer.url, audience=AUDIENCE, admin_group="operators", leeway_seconds=1, keys_again_seconds=0.05
    )
    async with open_house(settings.model_copy(update={"oidc": oidc})) as opened:
        yield opened
