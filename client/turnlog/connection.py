"""Where the server is and which key opens it: said, from the environment, or found beside a local run."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from turnlog.errors import NoKey, TurnlogError

LOCAL = "http://127.0.0.1:8080"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Connection:
    """An address without a slash at its end, and a key that no repr shows."""

    url: str
    key: str = field(repr=False)

    @classmethod
    def find(cls, url: str | None = None, key: str | None = None) -> "Connection":
        """What was said wins over TURNLOG_URL and TURNLOG_KEY, and those over a local run's `.turnlog/key`.

        That key opens the server beside it, so it is never sent to another machine.
        """
        chosen = (url or os.environ.get("TURNLOG_URL") or LOCAL).rstrip("/")
        if not chosen.startswith(("http://", "https://")):
            raise TurnlogError(f"{chosen} is no address", "Begin it with http:// or https://")
        kept = _kept_key(Path.cwd()) if httpx.URL(chosen).host in LOOPBACK else None
        secret = key or os.environ.get("TURNLOG_KEY") or kept
        if not secret:
            raise NoKey(
                f"There is no key for {chosen}",
                "Set TURNLOG_KEY, or give --key. After `make run` it lies in .turnlog/key: run this in that folder.",
            )
        return cls(chosen, secret.strip())


def _kept_key(start: Path) -> str | None:
    for folder in (start, *start.parents):
        kept = folder / ".turnlog" / "key"
        if kept.is_file():
            return kept.read_text()
    return None
