"""Our own processes on this machine: what runs, with which settings, and when it is ready."""

import os
import sys
from dataclasses import dataclass

from infra.local.forks import Forks
from infra.local.probes import answers
from infra.local.server import Server, Started
from ops.installation import ROOT, Installation


@dataclass(frozen=True)
class Ours:
    """A process kind of ours, as `python -m MODULE`; its port is named like it."""

    name: str
    module: str


OURS = (
    Ours("api", "api"),
    Ours("chat", "streams.chat"),
    Ours("inboxes", "streams.inboxes"),
    Ours("documents", "streams.documents"),
    Ours("views", "streams.views"),
)


def process(installation: Installation, ours: Ours, forks: Forks) -> Server:
    """Restarted in place, so it keeps its membership id: its partitions are not handed around meanwhile."""
    (port,) = installation.local.ports.of(ours.name).values()
    own = {"TURNLOG_HEALTH_PORT": str(port), "TURNLOG_INSTANCE": f"{ours.name}-1", "PYTHONUNBUFFERED": "1"}
    return Server(
        name=ours.name,
        folder=installation.folder / "processes" / ours.name,
        command=(sys.executable, "-m", ours.module),
        environment={**os.environ, **installation.settings_of_process(), **own},
        is_ready=lambda _: answers(port, "/ready"),
        start=forks.start,
        directory=ROOT,
        start_seconds=240,
        stop_seconds=17,
    )


def provisioning(installation: Installation, forks: Forks, wait_seconds: int) -> Server:
    """What makes topics, schemas, tables and the index, and ends: nobody waits until it is ready."""
    return Server(
        name="provision",
        folder=installation.folder / "processes/provision",
        command=(sys.executable, "-m", "ops.provision", "--wait", str(wait_seconds)),
        environment={**os.environ, **installation.settings()},
        is_ready=_at_once,
        start=forks.start,
        directory=ROOT,
    )


async def _at_once(_: Started) -> bool:
    return True
