"""An installation to measure: a running one, or one started for this run beside whatever else runs."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.target import Target
from infra.local.ports import Ports

FOLDER = Path(".turnlog-bench")
UP = "Turnlog is up."
READY_SECONDS = 300
STOP_SECONDS = 60


def free_ports() -> list[str]:
    """NAME=NUMBER for every port, so that a run lies beside whatever else runs."""
    return [f"{name}={port}" for name, port in dataclasses.asdict(Ports.free()).items()]


@contextmanager
def installation(running: Path | None, environment: Mapping[str, str] | None = None) -> Iterator[Target]:
    """The target in `running`, else a new start of `.turnlog-bench`, on free ports, stopped after.

    `environment`: variables that such a start gets beside those of this process.
    """
    if running is not None:
        yield Target.found(running)
        return
    FOLDER.mkdir(exist_ok=True)
    log = FOLDER / "bench.log"
    command = [sys.executable, "-m", "ops.up", "--folder", str(FOLDER)]
    for port in free_ports():
        command += ["--port", port]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(environment or {})})
    try:
        _until_up(process, log)
        yield Target.found(FOLDER)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def _until_up(process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"the installation did not start:\n{log.read_text()[-3000:]}")
        if UP in log.read_text():  # every server, not only those that the API needs to be ready
            return
        time.sleep(0.2)
    raise SystemExit(f"the installation was not ready after {READY_SECONDS} s; see {log}")
