"""The servers every test may use, and an installation of its own for each test module."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from infra.settings import Settings
from ops.provision import provision, remove
from tests.environment import forget
from tests.servers import READY_SECONDS, Servers, own_servers, remove_servers, shared_servers


def pytest_configure() -> None:
    """Before any test module reads a setting, or makes a test of examples."""
    forget()
    same = bool(os.environ.get("CI"))  # a new example that fails belongs to no change: it is looked for elsewhere
    patient = hypothesis.settings(
        deadline=None, derandomize=same, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.register_profile("patient", patient)
    hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs what is started or installed once a run waits for that, too."""
    for once in ("servers", "clients", "issuer"):
        first = next((item for item in items if once in getattr(item, "fixturenames", ())), None)
        if first is not None:
            first.add_marker(pytest.mark.timeout(2 * READY_SECONDS), append=False)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Real servers for this run. A test that stops one takes `breakable_servers`."""
    with shared_servers() as found:
        yield found


@pytest.fixture(scope="session")
def breakable_servers(servers: Servers) -> Iterator[Servers]:
    """Servers that may be stopped, killed and frozen: those of this run, or, where these are shared, own ones."""
    if servers.are_own:
        yield servers
        return
    folder = Path(f".turnlog-test-{os.getpid()}")  # beside other runs on the shared servers
    with own_servers(folder) as own:
        yield own
    remove_servers(folder)


@contextmanager
def installation(servers: Servers, data: Path) -> Iterator[Settings]:
    """A namespace and a database of its own on those servers; provisioned, and removed after."""
    name = f"t{secrets.token_hex(5)}"
    fresh = servers.settings.model_copy(update={"namespace": f"{name}-", "postgres_database": name, "data": data})
    provision(fresh)
    yield fresh
    remove(fresh)


@pytest.fixture(scope="module")
def settings(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An installation of its own for each test module."""
    with installation(servers, tmp_path_factory.mktemp("data")) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def breakable_settings(breakable_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The same, on servers that may be broken."""
    with installation(breakable_servers, tmp_path_factory.mktemp("data")) as fresh:
        yield fresh
