"""Our processes as forks of one that has imported what they are made of: it is paid for once, in time and in memory.

The fork server is the standard library's (`multiprocessing`, start method `forkserver`). It starts with the first fork,
and ends with the process that asked for it.
"""

import asyncio
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from setproctitle import setproctitle

from infra.local.processes import kill_group
from infra.local.server import Server, WouldNotStart

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Program:
    """A module to run, as `python -m` does."""

    module: str
    arguments: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]
    log: Path


def become(program: Program, alone: Connection) -> None:
    """In the fork: a session, a folder, a log and an environment of its own, then the module. Says when it is alone."""
    setproctitle(f"{sys.executable} -m {program.module}")  # before the environment goes: it lies in the same memory
    os.setsid()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o077)
    os.chdir(program.directory)
    log = os.open(program.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        os.dup2(log, descriptor)
        cast(TextIOWrapper, stream).reconfigure(line_buffering=True)
    os.close(log)
    os.environ.clear()
    os.environ.update(program.environment)
    alone.send_bytes(b"alone")
    alone.close()
    sys.argv[1:] = program.arguments
    runpy.run_module(program.module, run_name="__main__", alter_sys=True)


class Forked:
    """A fork, with what is asked of an asyncio subprocess."""

    def __init__(self, process: BaseProcess) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process, self._loop = process, asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(process.sentinel, self._on_end)

    def _on_end(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        code = self._process.exitcode
        assert code is not None
        self._ended.set_result(code)

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        """Nothing, when it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)


class Forks:
    """A fork server. `preload`: a module that imports what its forks need, and what must happen before them."""

    def __init__(self, preload: str) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([preload])

    async def start(self, server: Server) -> Forked:
        """Runs a command that is `python -m MODULE ...`; raises WouldNotStart."""
        _, _, module, *arguments = server.command
        directory, environment = server.directory or server.folder, dict(server.environment)
        program = Program(module, tuple(arguments), directory, environment, server.log)
        starting = asyncio.ensure_future(asyncio.to_thread(self._start, server.name, program))
        try:
            return Forked(await asyncio.shield(starting))
        except asyncio.CancelledError:
            with suppress(OSError, EOFError):
                kill_group(Forked(await starting).pid)
            raise
        except (OSError, EOFError) as exc:
            raise WouldNotStart(f"{server.name}: the process that it is a fork of has ended: {exc}") from exc

    def close(self) -> None:
        """Ends the fork server and its helper, and waits for their end; neither would outlive this process for long."""
        forkserver._forkserver._stop()  # type: ignore[attr-defined] # the standard library's own tests end them so
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]

    def _start(self, name: str, program: Program) -> BaseProcess:
        here, there = self._context.Pipe(duplex=False)
        process = self._context.Process(target=become, args=(program, there), name=name, daemon=True)
        process.start()
        there.close()
        with here:
            here.recv_bytes()
        return process
