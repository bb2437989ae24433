"""Stops the local run of a folder in order, as Ctrl-C where it was started would; ends what a killed one left."""

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.local.launch import end_leftover
from infra.local.processes import birth_of
from ops.installation import ROOT, alone
from schemas.errors import Invalid
from turnlog.errors import TurnlogError

PATIENCE_SECONDS = 30.0  # a run stops within 27 s, or kills what does not
LOOK_SECONDS = 0.05
STARTING_SECONDS = 2.0
HERE = (Path(".turnlog"), ROOT / ".turnlog")


@dataclass(frozen=True)
class Stopped:
    """`pid` None: no run held the folder. `leftovers`: processes that an earlier one had left, by name."""

    folder: str
    pid: int | None
    leftovers: tuple[str, ...]
    seconds: float


def stop(folder: Path | None, say: Callable[[str], None], patience_seconds: float = PATIENCE_SECONDS) -> Stopped:
    """Returns when nothing of the folder runs; raises TurnlogError when it does not end, or may not be ended."""
    begun = time.monotonic()
    if folder is not None and not folder.is_dir():
        raise TurnlogError(f"There is no folder {folder}", "Name that of the run: its .turnlog.")
    place = (folder or next((one for one in HERE if one.is_dir()), HERE[0])).absolute()
    pid = held_by(place)
    if pid is not None:
        say(f"stopping pid {pid}, which runs {place}")
        _terminate(pid, place)
        _wait(pid, place, begun + patience_seconds)
    leftovers = tuple(_end_leftovers(place, say)) if place.is_dir() else ()
    return Stopped(str(place), pid, leftovers, round(time.monotonic() - begun, 1))


def held_by(folder: Path) -> int | None:
    """The pid of the run that holds a folder; None: nobody does. Whoever looks disturbs no other who looks."""
    deadline = time.monotonic() + STARTING_SECONDS
    try:
        with (folder / "lock").open() as guard:
            while True:
                try:
                    fcntl.flock(guard, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    guard.seek(0)
                else:
                    return None
                if (said := guard.read().strip()).isdigit():
                    return int(said)
                if time.monotonic() > deadline:
                    raise TurnlogError(f"{folder} is in use, and its lock does not say by whom", "See `lsof` for it.")
                time.sleep(LOOK_SECONDS)  # it was taken just now, and its pid is about to be written
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise TurnlogError(f"{folder} cannot be looked at: {exc}", "Run this as the user who started it.") from exc


def _terminate(pid: int, folder: Path) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:  # it has ended since
        return
    except PermissionError as exc:
        raise TurnlogError(
            f"{folder} is run by pid {pid} of another user", "Run this as that user, or as root."
        ) from exc


def _wait(pid: int, folder: Path, deadline: float) -> None:
    while held_by(folder) == pid:
        if time.monotonic() > deadline:
            raise TurnlogError(
                f"pid {pid} was asked to stop, and still runs {folder}",
                "`turnlog down` again makes it kill everything at once.",
            )
        time.sleep(LOOK_SECONDS)


def _end_leftovers(folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """What a killed run left; nobody can start another meanwhile."""
    kinds = ("processes", "servers")  # what uses servers goes before them
    found = [file for kind in kinds for file in sorted(folder.glob(f"{kind}/*/pid")) if _lives(file)]
    if found:
        try:
            with alone(folder):
                for file in found:
                    asyncio.run(end_leftover(file.parent, say))
                    yield file.parent.name
        except Invalid as exc:
            raise TurnlogError(f"{exc}") from exc


def _lives(file: Path) -> bool:
    pid, _, born = file.read_text().partition(" ")
    return bool(born) and birth_of(int(pid)) == born.strip()
