"""`turnlog status`: whether the server can be used, and what it waits for when not."""

import typer

from turnlog.commands.terminal import Json, Key, Url, opened, printable, say, say_json
from turnlog.model import Model


def status(json: Json = False, url: Url = None, key: Key = None) -> None:
    """Says whether the server is ready, what it waits for, and which models answer. Exit code 1: not ready.

    Examples:

      turnlog status

      TURNLOG_URL=https://turnlog.example TURNLOG_KEY=tl_... turnlog status --json
    """
    with opened(url, key, give_up_seconds=5) as server:
        waits_for = server.waits_for()
        models = server.models() if not waits_for else []
        address = server.url
    if json:
        say_json({"url": address, "ready": not waits_for, "waits_for": waits_for, "models": models})
    else:
        _show(address, waits_for, models)
    if waits_for:
        raise typer.Exit(1)


def _show(address: str, waits_for: dict[str, str], models: list[Model]) -> None:
    say(f"{address} is {'not ready' if waits_for else 'ready'}", end="\n")
    for server, why in waits_for.items():
        say(f"  waits for {server}: {why}", end="\n")
    for model in models:
        health = "answers" if model.away is None else f"away: {printable(model.away)}"
        say(f"  model {model.id}{' (default)' if model.default else ''}: {health}", end="\n")
