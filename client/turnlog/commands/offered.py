"""What the shell offers after Tab: names that the server knows, or nothing when it does not answer at once."""

from collections.abc import Callable, Iterable

import typer

from turnlog.errors import TurnlogError
from turnlog.sync.client import Turnlog

PATIENCE_SECONDS = 1.5


def collections(ctx: typer.Context, incomplete: str) -> list[str]:
    """Collections that begin like this."""
    return _names(ctx, incomplete, lambda server: (one.collection_id for one in server.collections()))


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Models that begin like this."""
    return _names(ctx, incomplete, lambda server: (one.id for one in server.models()))


def _names(ctx: typer.Context, incomplete: str, named: Callable[[Turnlog], Iterable[str]]) -> list[str]:
    said = ctx.params
    try:
        with Turnlog.open(
            said.get("url"), said.get("key"), give_up_seconds=0, answer_seconds=PATIENCE_SECONDS
        ) as server:
            return [name for name in named(server) if name.startswith(incomplete)]
    except TurnlogError:
        return []  # whoever pressed Tab asked for no error
