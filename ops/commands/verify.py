"""`turnlog verify`: whether the log holds what it promises."""

import typer

from turnlog.commands.terminal import Json


def verify(json: Json = False) -> None:
    """Reads the whole log and checks it: records, streams, what was shown and who could read it. Exit code 1: it fails.

    Examples:

      turnlog verify

      turnlog verify --json | jq '.checks[] | select(.failed > 0)'
    """
    from ops.verify import verified

    if not verified(json=json):
        raise typer.Exit(1)
