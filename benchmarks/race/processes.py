"""The other servers of the race, each a process group of its own, ended when the race is over."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http import Connection
from infra.local.processes import kill_group

READY_SECONDS = 300
STOP_SECONDS = 10


@dataclass(frozen=True)
class Started:
    """A process with its log."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Of the first of its group."""
        return self.process.pid

    async def until_ready(self, url: str, path: str) -> None:
        """Waits until it answers 200 there; raises RuntimeError with the end of its log when it does not."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError):
                connection = await Connection.open(url)
                status = (await connection.request("GET", path, {})).status
                connection.close()
                if status == 200:
                    return
            await asyncio.sleep(0.2)
        raise RuntimeError(f"not ready at {url}{path}: {self.log.read_text()[-1500:]}")


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Started]:
    """Starts it; at the end it is asked to stop, and killed with its children when it does not."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=dict(environment), cwd=log.parent, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield Started(process, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        kill_group(process.pid)
        process.wait()
