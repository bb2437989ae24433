"""Starting one process and waiting until it is ready; ending it, and what a killed run of ours left."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.local.layout import make_private, write_private
from infra.local.processes import birth_of, kill_group
from infra.local.server import Process, Server, Started, WouldNotStart, hint, last_lines, trouble

LOG_KEPT_BYTES = 20_000_000


@dataclass(frozen=True)
class Running:
    """A started process and what it takes to watch and end it."""

    server: Server
    process: Process
    started: Started

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        return await self.process.wait()

    async def stop(self, longest_seconds: float = 60) -> bool:
        """Asks it to end, kills it when it does not in time; True when it went by itself."""
        by_itself = True
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(self.server.stop_signal)
            try:
                await asyncio.wait_for(self.process.wait(), min(self.server.stop_seconds, longest_seconds))
            except TimeoutError:
                by_itself = False
        await self.kill()
        return by_itself

    async def kill(self) -> None:
        """Ends it and its helpers at once."""
        kill_group(self.process.pid)
        await self.process.wait()
        (self.server.folder / "pid").unlink(missing_ok=True)


async def prepare(server: Server) -> None:
    """Makes its folder and what it needs before each start."""
    try:
        make_private(server.folder, server.account)
        _turn_over(server.log)
        await asyncio.to_thread(server.prepare)
    except OSError as exc:
        raise WouldNotStart(f"{server.name}: {exc}\n{hint(str(exc), server.log)}") from exc


async def spawn(server: Server) -> Running:
    """Starts it; the log, the pid file and the process group are its own."""
    mark = server.log.stat().st_size if server.log.exists() else 0
    process = await (server.start or _execute)(server)
    write_private(server.folder / "pid", f"{process.pid} {birth_of(process.pid)}\n", server.account)
    return Running(server, process, Started(process.pid, server.log, mark))


async def _execute(server: Server) -> Process:
    with server.log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *server.command,
            cwd=server.directory or server.folder,
            env=dict(server.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            umask=0o077,
            **server.account.identity(),
        )


async def until_ready(running: Running) -> None:
    """Waits until it is ready; raises WouldNotStart when it ends before, or takes too long."""
    server, end = running.server, time.monotonic() + running.server.start_seconds
    while running.process.returncode is None and time.monotonic() < end:
        if await server.is_ready(running.started):
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(running.process.wait()), 0.1)
    said = running.started.said()
    code = running.process.returncode
    why = f"ended with {_meaning(code)}" if code is not None else f"was not ready after {server.start_seconds:.0f} s"
    raise WouldNotStart(
        f"{server.name} {why}. Its last lines:\n{trouble(said)}{last_lines(said)}\n{hint(said, server.log)}"
    )


def _meaning(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


async def end_leftover(folder: Path, say: Callable[[str], None]) -> None:
    """Ends a process that outlived a killed run: the pid must still name the same process, by its birth."""
    try:
        pid, born = (folder / "pid").read_text().split()
    except (OSError, ValueError):
        return
    if birth_of(int(pid)) == born:
        say(f"{folder.name}: ending the one that an earlier run left, pid {pid}")
        kill_group(int(pid))
        with suppress(TimeoutError):
            await asyncio.wait_for(_until_gone(int(pid), born), 10)
    (folder / "pid").unlink(missing_ok=True)


async def _until_gone(pid: int, born: str) -> None:
    while birth_of(pid) == born:  # noqa: ASYNC110 - not our child: nobody tells us when it ends
        await asyncio.sleep(0.05)


def _turn_over(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_name("log.1"))
