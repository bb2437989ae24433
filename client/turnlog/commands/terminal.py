"""What every command shows the same way: results on stdout, everything else on stderr."""

import json
import os
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from turnlog.commands import offered
from turnlog.errors import TurnlogError
from turnlog.sync.client import Turnlog

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="TURNLOG_URL", help="Address of the server.", show_default="http://127.0.0.1:8080"),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="TURNLOG_KEY", help="API key; beside a local run: .turnlog/key.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Conversation = Annotated[str | None, typer.Option("--conversation", "-c", help="Go on with this conversation.")]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Model to ask; `turnlog status` lists them.", autocompletion=offered.models),
]
Within = Annotated[
    list[str] | None,
    typer.Option(
        "--in", "--collection", help="Search only this collection; repeatable.", autocompletion=offered.collections
    ),
]
Collection = Annotated[str, typer.Argument(help="Collection.", show_default=False, autocompletion=offered.collections)]

SILENT_SECONDS = 1.0  # with the pauses between tries that is about 2 s

notes = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
results = Console(highlight=False, markup=False, emoji=False)
piped = Console(highlight=False, markup=False, emoji=False, width=1_000_000)


def opened(url: str | None, key: str | None, give_up_seconds: float = 60) -> AbstractContextManager[Turnlog]:
    """The server; people are told when they wait because it does not answer."""
    return Turnlog.open(url, key, give_up_seconds=give_up_seconds, retrying=Patience())


class Patience:
    """Says once in a silence that it is tried again, and for how long."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, failure: TurnlogError, tried_seconds: float, left_seconds: float) -> None:
        """Called before each try."""
        if tried_seconds < SILENT_SECONDS:
            self._said = False
        elif not self._said:
            self._said = True
            notes.print(f"{printable(failure.cause)}; tried again for {left_seconds:.0f} s more, Ctrl-C ends it")


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


def drop_output() -> None:
    """Leaves out what stdout does not take: else it is tried again, and told of, at the very end."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def say_json(value: Any, *, line: bool = False) -> None:
    """A result for programs, on one line where more follow; dataclasses as objects, times as ISO 8601."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=None if line else 1) + "\n")
    sys.stdout.flush()


def table(*columns: str, rows: Iterable[Iterable[object]]) -> Table:
    """For people; what there is none of is a dash."""
    made = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        made.add_row(*(Text(_cell(value)) for value in row))
    return made


def show_table(table: Table, where: Console = results) -> None:
    """An id is whole: on a terminal it is folded, and in a pipe lines are as long as they are."""
    for column in table.columns:
        column.overflow = "fold"
    (where if where.is_terminal else piped).print(table)


def progress(*, quiet: bool = False) -> Progress:
    """Bars on stderr, gone at the end; none where nobody looks."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    return Progress(*columns, console=notes, disable=quiet or not notes.is_terminal, transient=True)


def _cell(value: object) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return printable(", ".join(map(str, value)) if isinstance(value, tuple) else str(value))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
