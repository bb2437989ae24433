"""`turnlog collections`: where documents lie, and who may read them."""

import sys
from typing import Annotated

import typer

from turnlog.commands.terminal import Collection, Json, Key, Url, notes, opened, say, say_json, show_table, table
from turnlog.model import Collection as Found

app = typer.Typer(no_args_is_help=True, help="List, create, share and delete collections.")
PRINCIPAL = "user:ID, group:NAME or public; repeatable."


@app.command("list")
def list_collections(json: Json = False, url: Url = None, key: Key = None) -> None:
    """Lists the collections that this key may read.

    Example:

      turnlog collections list
    """
    with opened(url, key) as server:
        found = list(server.collections())
    if json:
        say_json(found)
    elif found:
        cells = ((one.collection_id, one.name, one.owner, one.readers, one.created_at) for one in found)
        show_table(table("collection", "name", "owner", "also read by", "created", rows=cells))
    else:
        notes.print("No collections yet. Make one: turnlog collections create NAME")


@app.command()
def create(
    collection: Annotated[str, typer.Argument(help="Its id, in lower case; never given twice.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="Name for people; else the id.")] = None,
    reader: Annotated[list[str] | None, typer.Option("--reader", "-r", help=f"Who may read it: {PRINCIPAL}")] = None,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Makes a collection that you own, and that nobody else reads unless you say who.

    Examples:

      turnlog collections create handbook

      turnlog collections create handbook --name "The handbook" --reader group:staff
    """
    with opened(url, key) as server:
        made = server.create_collection(collection, name=name, readers=reader or ())
    _show(made, json)


@app.command()
def readers(
    collection: Collection,
    add: Annotated[list[str] | None, typer.Option("--add", help=f"Let them read: {PRINCIPAL}")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="Let them read no more; repeatable.")] = None,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Shows who may read a collection besides its owner, and changes it. A change holds within a second.

    Examples:

      turnlog collections readers handbook

      turnlog collections readers handbook --add group:staff --remove public
    """
    with opened(url, key) as server:
        found = server.collection(collection)
        if add or remove:
            wanted = dict.fromkeys([*found.readers, *(add or ())])
            found = server.change_readers(collection, [one for one in wanted if one not in (remove or ())])
    _show(found, json)


@app.command()
def delete(
    collection: Collection,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Deletes a collection: nothing in it is found any more, and its id is given to nobody again.

    Example:

      turnlog collections delete handbook --yes
    """
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked whether that is meant: add --yes")
    with opened(url, key) as server:
        found = server.collection(collection)
        if not yes:
            typer.confirm(f"Delete {found.collection_id} ({found.name}) with all its documents?", abort=True, err=True)
        server.delete_collection(collection)
    if json:
        say_json({"collection_id": collection, "state": "deleted"})
    else:
        notes.print(f"{collection} is deleted.")


def _show(found: Found, json: bool) -> None:
    if json:
        say_json(found)
    else:
        others = f"also read by {', '.join(found.readers)}" if found.readers else "read by nobody else"
        say(f"{found.collection_id}  {found.name}  owned by {found.owner}, {others}", end="\n")
