"""A terminal with a person before it: what a command shows there, and what is typed."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.code import ROOT

STEERING = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
SECONDS = 90.0
AGAIN_SECONDS = 5.0
ROWS, COLUMNS = 24, 100


class Terminal:
    """`code` is the exit code, once it has ended."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self._process, self._master = process, master
        self._shown = self._seen = ""
        self.code: int | None = None

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self._master, keys.encode())

    def interrupt(self) -> None:
        """Ctrl-C, once it waits."""
        deadline = time.monotonic() + SECONDS
        pid = self._process.pid
        # Sleeping, or a zombie that has left by itself.
        while Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "SZ":
            assert time.monotonic() < deadline, "it never waits"
            time.sleep(0.01)
        self._process.send_signal(signal.SIGINT)

    def leave(self) -> str:
        """Ctrl-C at the prompt, again when it was not heard: readline hears only one that wakes it. As `ended`."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self.interrupt()
            if self._closed(time.monotonic() + AGAIN_SECONDS):
                break
        return self.ended()

    def until(self, *words: str) -> None:
        """Waits until these are shown, one after the other."""
        for one in words:
            deadline = time.monotonic() + SECONDS
            while one not in self._shown:
                assert self._read(deadline), f"{one!r} was not shown: {self._shown!r}"
            before, _, self._shown = self._shown.partition(one)
            self._seen += before + one

    def ended(self) -> str:
        """Waits for the end; all that was shown, as letters."""
        deadline = time.monotonic() + SECONDS
        assert self._closed(deadline), f"it has not ended: {self._seen + self._shown!r}"
        self.code = self._process.wait(SECONDS)
        return STEERING.sub("", self._seen + self._shown)

    def _closed(self, deadline: float) -> bool:
        """Reads on; whether everybody has closed the other side by then."""
        while self._read(deadline):
            pass
        return time.monotonic() < deadline

    def _read(self, deadline: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            self._shown += os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # everybody has closed the other side
            return False
        return True


@contextmanager
def at_a_terminal(*arguments: str, **environment: str) -> Iterator[Terminal]:
    """Python with these arguments; killed when the block ends before it does."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    given = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT / "client"), **environment}
    try:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=given,
            start_new_session=True,
            preexec_fn=hear_interrupts,
        )
    finally:
        os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def hear_interrupts() -> None:
    """In a new process, as a shell leaves it to what a person starts; a suite in the background ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
