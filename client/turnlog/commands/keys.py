"""`turnlog keys`: keys are made, told once, listed without their secret, and revoked."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from turnlog.commands.terminal import Json, Key, Url, notes, opened, printable, say, say_json, show_table, table
from turnlog.model import ApiKey

app = typer.Typer(no_args_is_help=True, help="List, create and revoke API keys.")
FEWEST_DAYS, MOST_DAYS = 0.001, 36_500
User = Annotated[str | None, typer.Option("--user", help="Another user; an administrator's key is needed.")]


@app.command("list")
def list_keys(user: User = None, json: Json = False, url: Url = None, key: Key = None) -> None:
    """Lists your keys, without their secrets.

    Example:

      turnlog keys list
    """
    with opened(url, key) as server:
        found = list(server.keys(user))
    if json:
        say_json(found)
    else:
        cells = ((one.key_id, one.name, one.scopes, one.created_at, _ends(one)) for one in found)
        show_table(table("key", "name", "scopes", "created", "ends", rows=cells))


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    scope: Annotated[
        list[str], typer.Option("--scope", "-s", help="chat, search, publish, audit or admin; repeatable.")
    ],
    user: User = None,
    days: Annotated[float | None, typer.Option(help="It ends after so many days; else never.")] = None,
    service: Annotated[
        bool, typer.Option("--service", help="A program's, with larger limits (administrators).")
    ] = False,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Makes a key with at most the rights of the one that makes it. Its secret is printed now, and never told again.

    Examples:

      turnlog keys create "my laptop" --scope chat --scope search

      TURNLOG_KEY=$(turnlog keys create nightly --scope publish --days 30) nightly-publisher
    """
    if days is not None and not FEWEST_DAYS <= days <= MOST_DAYS:  # no number is not, either
        raise typer.BadParameter(f"--days is {FEWEST_DAYS} to {MOST_DAYS}; without it a key never ends")
    ends = datetime.now(UTC) + timedelta(days=days) if days else None
    with opened(url, key) as server:
        made = server.create_key(name, scope, user_id=user, service=service, expires_at=ends)
    if json:
        say_json(made)
        return
    notes.print(f"Key {made.key_id} of {made.user_id}: {', '.join(made.scopes)}. Keep it now, it is told only here:")
    say(made.key, end="\n")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Key, as `turnlog keys list` shows it.", show_default=False)],
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Revokes a key: it stops working within a second, everywhere.

    Example:

      turnlog keys revoke 3cfae7ddbf0292df
    """
    with opened(url, key) as server:
        server.revoke_key(key_id)
    if json:
        say_json({"key_id": key_id, "state": "revoked"})
    else:
        notes.print(f"Key {printable(key_id)} is revoked.")


def _ends(key: ApiKey) -> object:
    return "revoked" if key.revoked_at else key.expires_at
