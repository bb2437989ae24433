"""`turnlog index`: the index of passages, made anew from the log."""

import typer

from turnlog.commands.terminal import Json

app = typer.Typer(help="The index of passages: how whole it is, and making it anew from the log.", no_args_is_help=True)


@app.command()
def status(json: Json = False) -> None:
    """Says how many documents and passages there should be, and what is there. Exit code 1: something is missing.

    Examples:

      turnlog index status

      turnlog index status --json | jq .restores_left
    """
    from ops.index import show_status

    if not show_status(json=json):
        raise typer.Exit(1)


@app.command()
def rebuild(
    wait: bool = typer.Option(True, "--wait/--no-wait", help="Stay and show progress; the work goes on without."),
    json: Json = False,
) -> None:
    """Makes the index anew from the log, after OpenSearch or its data were lost.

    The worker `documents` does the work: what is there already is taken as it is, everything else is read from the log
    and embedded again. Questions are answered meanwhile, and say that retrieval is incomplete.

    Examples:

      turnlog index rebuild

      turnlog index rebuild --no-wait && turnlog index status
    """
    from ops.index import rebuild_index

    rebuild_index(wait=wait, json=json)
