"""`turnlog documents`: what is published, what has become of it, and how to take it back."""

from typing import Annotated

import typer

from turnlog.commands.terminal import Collection, Json, Key, Url, notes, opened, say, say_json, show_table, table
from turnlog.model import Document

app = typer.Typer(no_args_is_help=True, help="List, show and delete documents.")
DocumentId = Annotated[str, typer.Argument(help="Document, as its publisher named it.", show_default=False)]


@app.command("list")
def list_documents(collection: Collection, json: Json = False, url: Url = None, key: Key = None) -> None:
    """Lists the documents of a collection.

    Example:

      turnlog documents list handbook
    """
    with opened(url, key) as server:
        found = list(server.documents(collection))
    if json:
        say_json(found)
    elif found:
        cells = ((one.document_id, one.state, one.version, one.passages, one.title) for one in found)
        show_table(table("document", "state", "version", "passages", "title", rows=cells))
    else:
        notes.print(f"No documents in {collection}. Publish one: turnlog publish --to {collection} FILE")


@app.command()
def show(collection: Collection, document: DocumentId, json: Json = False, url: Url = None, key: Key = None) -> None:
    """Shows what has become of a document; exit code 1 when its newest version failed.

    Example:

      turnlog documents show handbook night-shift.md
    """
    with opened(url, key) as server:
        found = server.document(collection, document)
    if json:
        say_json(found)
    else:
        say(told(found), end="\n")
    if found.state == "failed":
        raise typer.Exit(1)


@app.command()
def delete(collection: Collection, document: DocumentId, json: Json = False, url: Url = None, key: Key = None) -> None:
    """Takes a document back: nobody finds it any more as soon as this returns.

    Example:

      turnlog documents delete handbook night-shift.md
    """
    with opened(url, key) as server:
        server.delete(collection, document)
    if json:
        say_json({"collection_id": collection, "document_id": document, "state": "withdrawn"})
    else:
        notes.print(f"{collection}/{document} is withdrawn.")


def told(document: Document) -> str:
    """One line for people."""
    parts = [document.key, document.state]
    if document.version is not None:
        parts.append(f"version {document.version}")
    if document.passages is not None:
        parts.append(f"{document.passages} passages")
    if document.waiting_for:
        parts.append(f"waits for {document.waiting_for}")
    if document.reason:
        parts.append(document.reason)
    return "  ".join(parts)
