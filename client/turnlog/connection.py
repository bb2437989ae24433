"""Where the server is and which key opens it: said, from the environment, or found beside a local run."""

import os
from contextlib import suppress
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
        local = is_local(chosen)
        secret = key or os.environ.get("TURNLOG_KEY") or (_kept_key() if local else None)
        if not secret:
            raise NoKey(
                f"There is no key for {chosen}",
                "Set TURNLOG_KEY, or give --key. After `make run` it lies in .turnlog/key: run this in that folder.",
            )
        secret = secret.strip()
        if not secret.isascii() or not secret.isprintable():
            raise NoKey("The key has a letter that no key has", "Copy it again: TURNLOG_KEY, or --key.")
        return cls(chosen, secret)


def is_local(address: str) -> bool:
    """Whether it is on this machine; raises TurnlogError when it is no address."""
    cure = "Begin it with http:// or https://, a name or an IP address, and a port where it needs one."
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as exc:
        raise TurnlogError(f"{address} is no address: {exc}", cure) from exc
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65535:
        raise TurnlogError(f"{address} is no address", cure)
    return url.host in LOOPBACK


def _kept_key() -> str | None:
    try:
        start = Path.cwd()
    except OSError:  # it was deleted
        return None
    for folder in (start, *start.parents):
        with suppress(OSError):  # no such file, or another user's: none for us
            return (folder / ".turnlog" / "key").read_text()
    return None
