"""A whole installation that a client can talk to: every process of ours, as people run them."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.local.ports import Ports
from infra.settings import Settings
from ops.first_user import first_key, introduce
from ops.processes import OURS
from tests.code import ROOT
from tests.environment import environment

READY_SECONDS = 180
STOP_SECONDS = 25


@dataclass(frozen=True)
class Running:
    """Where it is, and its first user's key."""

    url: str
    key: str


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator[Running]:
    """Starts everything, waits until all are ready, stops everything."""
    ports = Ports.free()
    key = first_key(folder / "key")
    asyncio.run(introduce(settings, key))
    with ExitStack() as stack:
        for ours in OURS:
            (port,) = ports.of(ours.name).values()
            given = environment(settings, TURNLOG_HEALTH_PORT=str(port), TURNLOG_API_PORT=str(port))
            stack.enter_context(_process(ours.module, given, folder / f"{ours.name}.log"))
        for ours in OURS:
            (port,) = ports.of(ours.name).values()
            _until_ready(port, folder / f"{ours.name}.log")
        yield Running(f"http://127.0.0.1:{ports.api}", key)


@contextmanager
def _process(module: str, given: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, env=given, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _until_ready(port: int, log: Path) -> None:
    deadline, why = time.monotonic() + READY_SECONDS, "no answer"
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False)
        except httpx.TransportError:
            pass
        else:
            if answer.is_success:
                return
            why = answer.text
        time.sleep(0.1)
    raise AssertionError(f"{log.stem} is not ready: {why}\n{log.read_text(errors='replace')[-2000:]}")
