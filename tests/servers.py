"""Where tests find their servers: started for this run, or, only when asked for, those that the environment names."""

import asyncio
import fcntl
import os
import shutil
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from infra.local.ports import Ports
from infra.local.processes import tree_of
from infra.settings import Settings
from ops.installation import ROOT, Installation
from ops.stack import Stack
from tests.environment import attached

T = TypeVar("T")
READY_SECONDS = 300
STOP_SECONDS = 60


class Servers:
    """Running servers, and the settings of a process that uses them. Only own ones can be broken."""

    def __init__(self, settings: Settings, stack: Stack | None, loop: asyncio.AbstractEventLoop | None) -> None:
        self.settings, self._stack, self._loop = settings, stack, loop

    @property
    def are_own(self) -> bool:
        """Whether they were started for this run."""
        return self._stack is not None

    @property
    def words_log(self) -> Path:
        """Where the model `words` notes what becomes of each of its streams."""
        if self._stack is None:
            return Path(os.environ["TURNLOG_WORDS_LOG"])
        return self._stack.installation.local.folder("triton") / "words.log"

    def stop(self, name: str) -> None:
        """Stops one (kafka, opensearch, postgres, registry, triton) in order, and keeps it stopped."""
        self._do(self._own().supervisor.hold(name))

    def kill(self, name: str) -> None:
        """Kills one and keeps it away."""
        self._do(self._own().supervisor.hold(name, kill=True))

    def start(self, name: str) -> None:
        """Starts a stopped one, and waits until it is ready."""
        self._do(self._own().supervisor.release(name))

    def freeze(self, name: str) -> None:
        """Stops the clock of one: it answers nothing, and its connections stay."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Lets a frozen one go on."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        running = self._own().supervisor.jobs[name].running
        assert running is not None
        for pid in tree_of(running.started.pid):  # the whole tree: each process of Postgres has a session of its own
            os.kill(pid, number)

    def _own(self) -> Stack:
        assert self._stack is not None, "these servers are shared: take the fixture breakable_servers"
        return self._stack

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(READY_SECONDS)


@contextmanager
def shared_servers() -> Iterator[Servers]:
    """Own ones, or with TURNLOG_TEST_SERVERS=attached those that TURNLOG_KAFKA_BOOTSTRAP and its like name."""
    if attached():
        yield Servers(Settings(), None, None)
        return
    with own_servers(Path(".turnlog-test")) as servers:
        yield servers


@contextmanager
def own_servers(folder: Path) -> Iterator[Servers]:
    """New servers on free ports with an empty folder; stopped after."""
    os.umask(0o022)
    remove_servers(folder)
    installation = Installation.at(ROOT / folder, Ports.free())
    with installation.alone(), _loop_in_a_thread() as loop:
        stack = Stack(installation, _say, ours=())
        running = asyncio.run_coroutine_threadsafe(_run(stack), loop)
        ready = asyncio.run_coroutine_threadsafe(stack.until_ready(), loop)
        try:
            _first_of(running, ready)
            yield Servers(_settings_of(stack), stack, loop)
        finally:
            running.cancel()
            asyncio.run_coroutine_threadsafe(stack.stop(), loop).result(STOP_SECONDS)


async def _run(stack: Stack) -> None:
    await stack.check()
    await stack.run()


def _first_of(running: Any, ready: Any) -> None:
    """Waits for `ready`; raises what `running` ended with, should it end before."""
    done = threading.Event()
    running.add_done_callback(lambda _: done.set())
    ready.add_done_callback(lambda _: done.set())
    assert done.wait(READY_SECONDS), "the servers were not ready in time"
    if not ready.done():
        ready.cancel()
        running.result()


def _settings_of(stack: Stack) -> Settings:
    values = {name.removeprefix("TURNLOG_").lower(): value for name, value in stack.installation.settings().items()}
    return Settings.model_validate(values)


def _say(words: str) -> None:
    print(f"servers: {words}", flush=True)


def remove_servers(folder: Path) -> None:
    """Removes what an earlier run left, also where root's servers keep it; raises when that run is not over."""
    _check_over(ROOT / folder / "lock")
    data = ROOT / folder / "servers"
    with suppress(FileNotFoundError):
        if data.is_symlink():
            shutil.rmtree(data.resolve())
        shutil.rmtree(ROOT / folder)


def _check_over(lock: Path) -> None:
    if not lock.exists():
        return
    with lock.open("a+") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise RuntimeError(f"{lock.parent} is in use by another run of tests: wait for its end") from exc


@contextmanager
def _loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="servers", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
