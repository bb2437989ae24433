"""The command line: its commands, those plugged in by others, and what becomes of errors."""

import errno
import sys
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from turnlog.commands import collections, documents, keys
from turnlog.commands.ask import ask
from turnlog.commands.chat import chat
from turnlog.commands.publish import publish
from turnlog.commands.search import search
from turnlog.commands.status import status
from turnlog.commands.terminal import drop_output, say, show_problem
from turnlog.commands.upload import upload
from turnlog.errors import TurnlogError
from turnlog.standard_streams import open_closed_ones

HELP = """Asks, publishes and searches on a Turnlog server.

The server is TURNLOG_URL (default http://127.0.0.1:8080), the key TURNLOG_KEY; in the folder of a local run the key is
found by itself.

Try:

  turnlog status

  turnlog publish --to notes --create README.md

  turnlog ask "What does the README promise?"

  turnlog chat

Exit codes: 0 done, 1 it failed, 2 used wrongly, 3 no answer from the server, 4 not allowed, 130 stopped with Ctrl-C.
"""

OPERATORS = ("up", "down", "replay", "verify", "views", "index")  # plugged in where the server is installed

app = typer.Typer(
    help=HELP, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.command()(status)
app.command()(ask)
app.command()(chat)
app.command()(publish)
app.command()(upload)
app.command()(search)
app.add_typer(documents.app, name="documents")
app.add_typer(collections.app, name="collections")
app.add_typer(keys.app, name="keys")


def say_version(wanted: bool) -> None:
    """Says it and leaves."""
    if wanted:
        say(version("turnlog"), end="\n")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Say the version and leave.", callback=say_version, is_eager=True)
    ] = False,
) -> None:
    """Options of every command."""


options.__doc__ = HELP


def elsewhere(name: str) -> None:
    """Adds a command that only says where the real one is: it reads the servers themselves, and comes with them."""

    @app.command(name, hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def say_where() -> None:
        raise TurnlogError(
            f"`turnlog {name}` is an operator's command: it needs the servers themselves, and only the client is here.",
            "Run it where the server is installed. Auditors elsewhere ask GET /v1/audit/..., with a key for it.",
        )


def main() -> None:
    """Runs a command; exits with its code."""
    try:
        open_closed_ones()
        plugged = entry_points(group="turnlog.commands")
        for plug in plugged:
            plug.load()(app)
        for name in () if plugged else OPERATORS:
            elsewhere(name)
        app(prog_name="turnlog")
    except KeyboardInterrupt:  # before a command runs
        sys.exit(130)
    except TurnlogError as problem:
        show_problem(problem)
        sys.exit(problem.exit_code)
    except UnicodeError as exc:  # of an argument, stdin, or a terminal that cannot show a letter
        show_problem(TurnlogError(f"Text that is not UTF-8: {exc}", "Give UTF-8; see LANG, or set PYTHONUTF8=1."))
        sys.exit(1)
    except OSError as exc:  # but none for a reader that has gone: that ends it in silence
        drop_output()
        cure = "Make room." if exc.errno == errno.ENOSPC else "See that what it names is there, and may be used."
        show_problem(TurnlogError(f"The system said no: {exc}", cure))
        sys.exit(1)


if __name__ == "__main__":
    main()
