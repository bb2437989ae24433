"""`turnlog up`: the whole stack on this machine."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[2]


def up(
    port: Annotated[list[str] | None, typer.Option(help="NAME=NUMBER: another port for a server; repeatable.")] = None,
    report: Annotated[bool, typer.Option(help="Print ready times and memory of each process.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the addresses as JSON, once all is ready.")] = False,
) -> None:
    """Starts the whole stack on this machine and stays up, like `make run`. Ctrl-C, or `turnlog down`, stops it.

    Examples:

      turnlog up

      turnlog up --port api=9000 --report
    """
    options = [word for choice in port or [] for word in ("--port", choice)] + ["--report"] * report + ["--json"] * json
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "ops.up", *options])  # noqa: S606 - becomes the supervisor
