"""The operator's commands of the `turnlog` command line, plugged in by entry point where the server is installed.

Modules here say what a command takes; what does the work is imported when one runs, so no other waits for it.
"""

import typer

from ops.commands import index, views
from ops.commands.down import down
from ops.commands.replay import replay
from ops.commands.up import up
from ops.commands.verify import verify


def plug(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (up, down, replay, verify):
        app.command(rich_help_panel="Operators")(command)
    app.add_typer(index.app, name="index", rich_help_panel="Operators")
    app.add_typer(views.app, name="views", rich_help_panel="Operators")
