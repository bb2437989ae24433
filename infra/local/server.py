"""How one process of a local installation is described: what to run, when it is ready, how it ends."""

import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from infra.local.layout import Account

TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Started:
    """A process that runs; its log from `mark` on is of this start."""

    pid: int
    log: Path
    mark: int

    def said(self) -> str:
        """What it has logged since it started."""
        return self._from(self.mark)

    def said_last(self) -> str:
        """The end of that: a server that ran for months has said more than memory holds."""
        try:
            size = self.log.stat().st_size
        except FileNotFoundError:
            return ""
        return self._from(max(self.mark, size - TAIL_BYTES))

    def _from(self, start: int) -> str:
        try:
            with self.log.open("rb") as file:
                file.seek(start)
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""


def nothing_to_prepare() -> None:
    """For servers that start from nothing."""


class Process(Protocol):
    """What is asked of a process that runs, as asyncio's subprocesses answer it."""

    @property
    def pid(self) -> int:
        """Its id, and its group's."""

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""

    async def wait(self) -> int:
        """That code, once it has ended."""

    def send_signal(self, signal: int, /) -> None:
        """Nothing, when it has ended."""


@dataclass(frozen=True)
class Server:
    """One process. `folder` is its own: log, pid, configuration, data."""

    name: str
    folder: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    is_ready: Callable[[Started], Awaitable[bool]]
    account: Account = field(default_factory=Account)
    prepare: Callable[[], None] = nothing_to_prepare
    start: "Callable[[Server], Awaitable[Process]] | None" = None  # another way than to execute its command
    directory: Path | None = None  # to run in; None: its folder
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds: float = 240
    stop_seconds: float = 12
    passing: tuple[str, ...] = ()  # words of a failed start that passes by itself: try again at once

    @property
    def log(self) -> Path:
        """Where it writes what it says."""
        return self.folder / "log"


TROUBLE = re.compile(
    r"(?:^|[\s:\[\"])(?:error|fatal|exception|cannot|failed|refused)\b|\w(?:Error|Exception)\b", re.IGNORECASE
)


class WouldNotStart(Exception):
    """A process did not become ready; the text has its name, its last words, and what to do."""


HINTS = {
    "Address already in use": "Its port is in use: stop what uses it, or choose another: make run PORTS='NAME=NUMBER'.",
    "No space left on device": "The disk is full: make room, then run again; nothing is lost.",
    "Read-only file system": "It cannot be written to: choose another folder, or make this one writable.",
    "insufficient memory": "Memory is short: the whole stack needs about 2 GB free.",
    "Cannot allocate memory": "Memory is short: the whole stack needs about 2 GB free.",
    "libpython": "Triton needs a Python with a shared libpython: see the README.",
    "UnsupportedClassVersionError": "Not the Java that is pinned: remove the cache folder and run again.",
}


def cure(said: str) -> str:
    """What to do about what was said."""
    return next((cure for words, cure in HINTS.items() if words in said), "Run again after mending what it names.")


def hint(said: str, log: Path) -> str:
    """What to do about a failed start."""
    return f"{cure(said)} Its whole log: {log}"


def last_lines(said: str, count: int = 10) -> str:
    """The end of a log, for people."""
    lines = [" ".join(line.split())[:300] for line in said.splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-count:]) or "    (it said nothing)"


def trouble(said: str, count: int = 5) -> str:
    """What a log says of errors before its end: the cause often stands there."""
    lines = "\n".join(line for line in said.splitlines()[:-count] if TROUBLE.search(line))
    return f"{last_lines(lines, count)}\n" if lines else ""
