"""Opens the providers that models.yaml names."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from pydantic import SecretStr

from infra.models import Models, Server
from infra.providers.dialect import Dialect
from infra.providers.openai import OpenAIDialect
from infra.providers.pace import Pace
from infra.providers.provider import Provider
from infra.providers.triton import TritonDialect
from infra.settings import Settings
from schemas.errors import Invalid


@asynccontextmanager
async def open_providers(settings: Settings, models: Models) -> AsyncIterator[Mapping[str, Provider]]:
    """Providers by name, with one pace for all; raises Invalid when the key of one is not set."""
    async with Pace.open(settings.limits) as pace:
        servers = models.servers.values()
        opened = {
            server.name: Provider(server.name, server.url, _dialect(server, settings), pace) for server in servers
        }
        try:
            yield opened
        finally:
            for provider in opened.values():
                provider.close()


def _dialect(server: Server, settings: Settings) -> Dialect:
    if server.kind == "triton":
        return TritonDialect(server.name, server.url)
    return OpenAIDialect(server.name, server.url, _key(server, settings))


def _key(server: Server, settings: Settings) -> SecretStr | None:
    if not server.key_variable:
        return None
    key = os.environ.get(server.key_variable, "").strip()  # a key from a file often ends its line
    place = f"{settings.models_file}: providers.{server.name}.key_from: the environment variable {server.key_variable}"
    if not key:
        raise Invalid(f"{place} is not set; put the API key there")
    if not (key.isascii() and key.isprintable()):
        raise Invalid(f"{place} holds what no header can carry; put nothing but the API key there")
    return SecretStr(key)
