"""`turnlog views`: how far what people see is behind the log, and how it is made anew from it."""

from typing import Annotated

import typer

from turnlog.commands.terminal import Json

app = typer.Typer(help="Tells how far the views are folded, and makes them anew from the log.", no_args_is_help=True)


@app.command()
def status(json: Json = False) -> None:
    """Shows the lag of each topic and partition. Exit code 1: no worker folds.

    Examples:

      turnlog views status

      turnlog views status --json | jq '.partitions[] | select(.lag > 0)'
    """
    from ops.views import show_status

    if not show_status(json=json):
        raise typer.Exit(1)


@app.command()
def rebuild(
    check: Annotated[bool, typer.Option("--check", help="Only compare; change nothing.")] = False,
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="Switch to what the log says, also where the views differ.")
    ] = False,
    json: Json = False,
) -> None:
    """Folds the whole log beside the live views, compares, and switches when nothing differs. Exit code 1: it does.

    Everything goes on meanwhile. It takes as much room in the database as the views do.

    Examples:

      turnlog views rebuild --check

      turnlog views rebuild --accept-differences
    """
    from ops.views import made_anew

    if not made_anew(check=check, accept=accept_differences, json=json):
        raise typer.Exit(1)
