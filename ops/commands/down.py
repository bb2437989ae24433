"""`turnlog down`: the end of `turnlog up`, from another terminal."""

from pathlib import Path
from typing import Annotated

import typer

from turnlog.commands.terminal import Json, notes, say, say_json


def down(
    folder: Annotated[
        Path | None, typer.Option(help="Of the installation; else .turnlog here, or beside the command.")
    ] = None,
    json: Json = False,
) -> None:
    """Stops what `turnlog up` or `make run` started on this machine, in order; the data stays.

    It waits up to 30 s for that. Given again while it stops, everything is killed at once.

    Examples:

      turnlog down

      turnlog down --folder /srv/turnlog/.turnlog --json
    """
    from ops.down import stop

    done = stop(folder, notes.print)
    if json:
        say_json(done)
    elif done.pid is None and not done.leftovers:
        say(f"Nothing runs in {done.folder}.", end="\n")
    else:
        say(f"All stopped after {done.seconds} s. The data stays: `turnlog up` goes on with it.", end="\n")
