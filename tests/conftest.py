"""The servers every test may use, and an installation of its own for each test module."""

import secrets
from collections.abc import Iterator

import pytest

from infra.settings import Settings
from ops.provision import provision, remove
from tests.servers import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Real servers: those that TURNLOG_KAFKA_BOOTSTRAP and its like name, else own ones for this run."""
    with Servers.attach_or_start() as found:
        yield found


@pytest.fixture(scope="module")
def settings(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An installation of its own on those servers: namespace, data folder, database; provisioned, removed after."""
    name = f"t{secrets.token_hex(5)}"
    fresh = servers.settings.model_copy(
        update={
            "namespace": f"{name}-",
            "postgres_database": name,
            "data": tmp_path_factory.mktemp("data"),
        }
    )
    for _ in provision(fresh):
        pass
    yield fresh
    remove(fresh)
