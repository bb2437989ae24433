"""Where tests find their servers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra.settings import Settings


@dataclass(frozen=True)
class Servers:
    """Running servers, and the settings of a process that uses them."""

    settings: Settings

    @classmethod
    @contextmanager
    def attach_or_start(cls) -> Iterator["Servers"]:
        """Uses the servers that the environment names."""
        if not os.environ.get("TURNLOG_KAFKA_BOOTSTRAP"):
            raise RuntimeError("no servers: set TURNLOG_KAFKA_BOOTSTRAP and its like")
        yield cls(Settings())
