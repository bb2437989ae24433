"""What every command shows the same way: results on stdout, everything else on stderr."""

import json
import sys
from dataclasses import asdict, is_dataclass
from typing import Annotated, Any

import typer
from rich.console import Console

from turnlog.errors import TurnlogError

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="TURNLOG_URL", help="Address of the server.", show_default="http://127.0.0.1:8080"),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="TURNLOG_KEY", help="API key; beside a local run: .turnlog/key.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

notes = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
results = Console(highlight=False, markup=False, emoji=False)


def printable(text: str) -> str:
    """Text without control characters: what a document says must not steer the terminal it is shown in."""
    return "".join(letter for letter in text if letter in "\n\t" or (letter >= " " and not "\x7f" <= letter <= "\x9f"))


def show_problem(problem: TurnlogError) -> None:
    """The cause, and on its own line the cure."""
    notes.print(f"error: {printable(problem.cause)}")
    if problem.cure:
        notes.print(f"       {printable(problem.cure)}")


def say(text: str, end: str = "") -> None:
    """A piece of the result, at once."""
    sys.stdout.write(printable(text) + end)
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """A result for programs; dataclasses as objects."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=1) + "\n")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
