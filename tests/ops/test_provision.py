"""Provisioning brings everything up once, and then finds nothing to do."""

import httpx

from infra.settings import Settings
from ops.provision import provision


def test_provisioning_twice_changes_nothing(settings: Settings) -> None:
    assert provision(settings) == []


def test_the_registry_keeps_every_schema_fully_compatible(settings: Settings) -> None:
    level = httpx.get(f"{settings.registry_url}/config", trust_env=False).json()
    assert level["compatibilityLevel"] == "FULL_TRANSITIVE"
