"""One line that says how much of the downloads is there: rewritten on a terminal, one each 5 s in a log."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Counts bytes from many threads; jgo calls it as its progress callback."""

    def __init__(self, total_bytes: int) -> None:
        self._total, self._done, self._shown = total_bytes, 0, time.monotonic()
        self._guard = threading.Lock()

    @contextmanager
    def __call__(self, _name: str, _size: int) -> Iterator[Callable[[int], None]]:
        """For one file: gives a function to call with each number of bytes that came."""
        yield self.add

    def add(self, count: int) -> None:
        """So many bytes more."""
        terminal = sys.stderr.isatty()
        with self._guard:
            self._done += count
            now = time.monotonic()
            if now - self._shown > (0.2 if terminal else 5):
                self._shown = now
                line = f"  downloaded {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB"
                print(line, end="\r" if terminal else "\n", file=sys.stderr, flush=True)
