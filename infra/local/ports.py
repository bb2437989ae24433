"""The ports of a local installation: decided in one place, each can be set."""

import dataclasses
import random
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import Invalid


@dataclass(frozen=True)
class Ports:
    """All on loopback. Set one with TURNLOG_PORT_KAFKA=NUMBER or `--port kafka=NUMBER`."""

    api: int = 8080
    kafka: int = 19092
    kafka_controller: int = 19093
    opensearch: int = 19200
    opensearch_transport: int = 19300
    postgres: int = 19432
    registry: int = 19081
    registry_management: int = 19082
    triton_http: int = 19000
    triton_grpc: int = 19001
    triton_metrics: int = 19002
    chat: int = 19101
    inboxes: int = 19102
    documents: int = 19103
    views: int = 19104

    @classmethod
    def chosen(cls, environment: Mapping[str, str], arguments: Iterable[str] = ()) -> "Ports":
        """The defaults, changed by the environment, changed by NAME=NUMBER arguments; raises Invalid."""
        pairs = [
            (name.removeprefix("TURNLOG_PORT_").lower(), value)
            for name, value in environment.items()
            if name.startswith("TURNLOG_PORT_")
        ]
        for argument in arguments:
            name, _, value = argument.partition("=")
            pairs.append((name, value))
        names = [field.name for field in dataclasses.fields(cls)]
        for name, value in pairs:
            if name not in names or not value.isdecimal() or not 0 < int(value) < 65536:
                raise Invalid(f"port {name}={value}: expected NAME=NUMBER with one of {', '.join(names)}")
        chosen = cls(**{name: int(value) for name, value in pairs})
        first: dict[int, str] = {}
        for name, port in dataclasses.asdict(chosen).items():
            if (other := first.setdefault(port, name)) != name:
                raise Invalid(f"port {port} is given to {other} and to {name}: choose another for one of them")
        return chosen

    @classmethod
    def free(cls) -> "Ports":
        """Ports that nobody uses now, below those that the system hands out by itself (tests)."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**dict(zip(names, _unused(), strict=False)))

    def of(self, server: str) -> dict[str, int]:
        """The ports of one server, by name."""
        found = dataclasses.asdict(self)
        return {name: port for name, port in found.items() if name == server or name.startswith(f"{server}_")}


def _unused() -> Iterator[int]:
    for port in random.sample(range(20000, 32000), 12000):
        if refusal(port) is None:
            yield port


def refusal(port: int) -> OSError | None:
    """Why no server could listen here; None: one could."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            return exc
    return None


def check_free(ports: Mapping[str, int], refusal: Callable[[int], OSError | None] = refusal) -> None:
    """Raises Invalid naming each port that cannot be had, who uses it, and how to choose another."""
    refused = {name: why for name, port in ports.items() if (why := refusal(port))}
    if refused:
        first = next(iter(refused))
        lines = [f"port {ports[name]} ({name}) {_said(why, ports[name])}" for name, why in refused.items()]
        cure = f"make run PORTS='{first}=NUMBER', or TURNLOG_PORT_{first.upper()}=NUMBER"
        raise Invalid("\n".join([*lines, f"Stop what uses it, or choose another: {cure}"]))


def _said(why: OSError, port: int) -> str:
    if isinstance(why, PermissionError):
        return "needs root, as all under 1024 do"
    return f"is in use{holder_of(port)}"


def holder_of(port: int) -> str:
    """' by NAME (pid N)' of the process that listens there, as far as we may know it."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                field = line.split()
                if field[3] == "0A" and int(field[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{field[9]}]")
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            if any(str(entry.readlink()) in sockets for entry in folder.iterdir()):
                name = (folder.parent / "comm").read_text().strip()
                return f" by {name} (pid {folder.parent.name})"
    return ""
