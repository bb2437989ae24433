"""Our workers as processes beside a test's installation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from infra.settings import Settings
from tests.faults.turns.processes import Processes


def start(processes: Processes, name: str) -> None:
    """`streams.NAME` as a static member of its group: killed and started again it goes on at once."""
    processes.start(name, f"streams.{name}", TURNLOG_INSTANCE=f"{processes.settings.namespace}{name}")


@asynccontextmanager
async def working(settings: Settings, folder: Path, *names: str) -> AsyncIterator[Processes]:
    """`streams.NAME` for each name, ready; ended after."""
    processes = Processes(settings, folder)
    try:
        for name in names:
            start(processes, name)
        await processes.ready(*names)
        yield processes
    finally:
        processes.close()
