"""Our processes of one installation, to be killed and frozen; what they say is kept in files."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from infra.settings import Settings
from tests.environment import environment
from tests.faults.delivery.chaos import free_port

ROOT = Path(__file__).parents[3]


@dataclass
class Processes:
    """By name; one that was started again under its name goes on with its file."""

    settings: Settings
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, module: str, **more: str) -> None:
        """Starts `python -m MODULE`; /ready is at its port."""
        assert name not in self.running or self.running[name].poll() is not None, f"{name} runs"
        port = str(self.ports.setdefault(name, free_port()))
        own = {"TURNLOG_HEALTH_PORT": port, "TURNLOG_API_PORT": port, "PYTHONUNBUFFERED": "1"}
        with self._file(name).open("ab") as output:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env=environment(self.settings, **own, **more),
                stdout=output,
                stderr=output,
            )

    def url(self, name: str) -> str:
        """Where a process answers."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def kill(self, *names: str) -> None:
        """kill -9."""
        for name in names:
            self.running[name].kill()
        for name in names:
            self.running.pop(name).wait()

    def freeze(self, name: str) -> None:
        """Stops its clock."""
        self.running[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Lets it go on."""
        self.running[name].send_signal(signal.SIGCONT)

    def is_frozen(self, name: str) -> bool:
        """Whether its clock is stopped."""
        status = Path(f"/proc/{self.running[name].pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] == "T"

    def is_gone(self, name: str) -> bool:
        """Whether it has ended."""
        return self.running[name].poll() is not None

    async def end(self, *names: str, seconds: float = 60) -> list[int]:
        """Asks them to stop; gives their exit codes."""
        for name in names:
            self.running[name].send_signal(signal.SIGTERM)
        await until(lambda: all(self.is_gone(name) for name in names), seconds, f"{names} do not end")
        return [self.running.pop(name).returncode for name in names]

    async def ready(self, *names: str, seconds: float = 100) -> None:
        """Waits until they say that they are ready."""
        async with httpx.AsyncClient(trust_env=False) as http:
            for name in names:
                said = ""
                try:
                    async with asyncio.timeout(seconds):
                        while said := await self._missing(http, name):
                            await asyncio.sleep(0.05)
                except TimeoutError:
                    raise AssertionError(f"{name} is not ready, but: {said}\n{self.output(name)[-3000:]}") from None

    async def _missing(self, http: httpx.AsyncClient, name: str) -> str:
        """What it says that it waits for; empty: it is ready."""
        assert not self.is_gone(name), f"{name} ended:\n{self.output(name)[-3000:]}"
        try:
            answer = await http.get(f"{self.url(name)}/ready")
        except httpx.TransportError as exc:
            return repr(exc)
        return "" if answer.status_code == 200 else answer.text

    def output(self, name: str) -> str:
        """What it printed, in all its lives."""
        return self._file(name).read_text()

    def close(self) -> None:
        """Ends what is left."""
        self.kill(*list(self.running))

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.out"


async def until(true: Callable[[], object], seconds: float = 60, otherwise: str = "it did not become true") -> None:
    """Waits for something to become true, or for a coroutine to say so."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = true()
                if await found if isinstance(found, Awaitable) else found:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(otherwise) from None
