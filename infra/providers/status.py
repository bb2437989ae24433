"""Whether the models can be asked: a real call to each, remembered for a few seconds."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from infra.models import Alias, Models, read_models
from infra.providers.opened import open_providers
from infra.providers.provider import Provider
from infra.settings import Settings
from schemas.errors import Invalid, Refused, Unavailable

DEADLINE_SECONDS = 5.0
REMEMBERED_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Status:
    """Whether a model said a word when asked; `reason` null when it did. `checked_at`: seconds since the epoch."""

    reason: str | None
    checked_at: float


class ModelStatuses:
    """The models of an installation, and how they are."""

    def __init__(self, models: Models, providers: Mapping[str, Provider], now: Callable[[], float] = time.time) -> None:
        self.models = models
        self._providers, self._now = providers, now
        self._known: dict[str, Status] = {}
        self._asking = {name: asyncio.Lock() for name in models.aliases}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["ModelStatuses"]:
        """Reads models.yaml and opens its providers; raises Invalid."""
        models = read_models(settings)
        async with open_providers(settings, models) as providers:
            yield cls(models, providers)

    async def of(self, alias: Alias) -> Status:
        """Asks the model, unless that was done a moment ago; many who want to know make one call."""
        async with self._asking[alias.name]:
            known = self._known.get(alias.name)
            if known is None or self._now() - known.checked_at > REMEMBERED_SECONDS:
                known = self._known[alias.name] = Status(reason=await self._ask(alias), checked_at=self._now())
            return known

    async def _ask(self, alias: Alias) -> str | None:
        try:
            await self._providers[alias.provider].check(alias.model, DEADLINE_SECONDS)
        except (Unavailable, Refused, Invalid) as exc:
            return str(exc)
        return None
