"""Where the servers are, for the operator's commands: from the environment, or from the local run beside us."""

import asyncio
import os
import shlex
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from infra.settings import Settings, read_settings
from ops.installation import ROOT
from schemas.errors import Invalid, Unavailable
from turnlog.errors import TurnlogError, Unreachable

T = TypeVar("T")
NAMED = "TURNLOG_KAFKA_BOOTSTRAP"
HERE = (Path(".turnlog/env"), ROOT / ".turnlog/env")


def settings_here() -> Settings:
    """Raises TurnlogError that says how to name the servers, when nothing does."""
    if NAMED not in os.environ:
        file = next((file for file in HERE if _may_be_there(file)), None)
        if file is None:
            raise TurnlogError(
                "This command reads the servers themselves, not the API, and nothing says where they are.",
                f"Run it in the folder of `make run`, or `source .turnlog/env` first, or set {NAMED} and its like.",
            )
        os.environ.update({name: value for name, value in variables(file).items() if name not in os.environ})
    try:
        return read_settings()
    except Invalid as exc:
        raise TurnlogError(f"The settings cannot be meant: {exc}") from exc


def _may_be_there(file: Path) -> bool:
    try:
        return file.is_file()
    except PermissionError:  # in another user's folder: reading it says so
        return True


def variables(file: Path) -> dict[str, str]:
    """The TURNLOG_* that a file of `export NAME=value` lines sets; it is read, never run."""
    try:
        words = shlex.split(file.read_text(), comments=True)
    except (OSError, ValueError) as exc:
        raise TurnlogError(f"{file} cannot be read: {exc}", "Run as the user who started the servers.") from exc
    pairs = (word.partition("=") for word in words if word.startswith("TURNLOG_"))
    return {name: value for name, _, value in pairs}


def done(work: Coroutine[Any, Any, T]) -> T:
    """Runs it; what goes wrong is told with its cause and its cure."""
    try:
        return asyncio.run(work)
    except Invalid as exc:
        raise TurnlogError(f"{exc}") from exc
    except Unavailable as exc:
        raise Unreachable(
            f"{exc}", "Is it running? `make run` starts all servers; `turnlog status` says more."
        ) from exc
