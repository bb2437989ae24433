"""`turnlog publish`: files in, and back when they can be found."""

import mimetypes
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from turnlog.client import Turnlog
from turnlog.commands.documents import told
from turnlog.commands.terminal import Json, Key, Url, notes, printable, say, say_json
from turnlog.errors import Problem, TurnlogError
from turnlog.model import Document

MEDIA_TYPES = {".md": "text/markdown", ".markdown": "text/markdown", ".txt": "text/plain", ".html": "text/html",
               ".htm": "text/html", ".pdf": "application/pdf"}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One document to publish."""

    document_id: str
    content: bytes
    media_type: str


def publish(
    files: Annotated[list[str], typer.Argument(help="Files and folders; - reads one document from stdin (with --id).")],
    collection: Annotated[str, typer.Option("--to", "--collection", "-t", help="Collection to publish to.")],
    document_id: Annotated[str | None, typer.Option("--id", help="Name of the document; else the file's name.")] = None,
    title: Annotated[str | None, typer.Option(help="Title; else taken from the document.")] = None,
    media_type: Annotated[str | None, typer.Option("--type", help="Media type; else guessed from the name.")] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the collection when there is none.")] = False,
    wait: Annotated[bool, typer.Option(help="Come back only when it can be found.")] = True,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Publishes text, Markdown, HTML and PDF files, and waits until they can be found.

    Publishing the same file again changes nothing; another content under the same name becomes its next version.

    Examples:

      turnlog publish --to handbook --create night-shift.md manual.pdf

      turnlog publish --to handbook docs/

      pg_dump --schema-only shop | turnlog publish --to notes --id shop-schema -
    """
    sources = [source for file in files for source in _sources(file, document_id, media_type)]
    if document_id and len(sources) > 1:
        raise typer.BadParameter(f"--id names one document, and there are {len(sources)}")
    with Turnlog.open(url, key) as server, _progress(json) as progress:
        if create:
            server.create_collection(collection)
        done = [_publish(server, progress, collection, source, title, wait, json) for source in sources]
    if json:
        say_json(done)
    if any(document.state == "failed" for document in done):
        raise typer.Exit(1)


def _publish(
    server: Turnlog, progress: Progress, collection: str, source: Source, title: str | None, wait: bool, quiet: bool
) -> Document:
    name = printable(source.document_id)
    task = progress.add_task(name, total=len(source.content))

    def sent(count: int) -> None:
        indexing = wait and count == len(source.content)
        progress.update(task, completed=count, description=f"{name}: indexing" if indexing else name)

    began = time.monotonic()
    try:
        document = server.publish(
            collection,
            source.document_id,
            source.content,
            media_type=source.media_type,
            title=title,
            wait=wait,
            sent=sent,
        )
    except Problem as problem:
        raise TurnlogError(f"{source.document_id}: {problem.cause}", _cure(problem, collection)) from problem
    finally:
        progress.remove_task(task)
    if not quiet:
        say(f"{told(document)}  {time.monotonic() - began:.1f} s", end="\n")
    return document


def _cure(problem: Problem, collection: str) -> str:
    if problem.status == 404:
        return f"There is no collection {collection} that this key may publish to: add --create, or see --to."
    return problem.cure


def _sources(file: str, document_id: str | None, media_type: str | None) -> Iterator[Source]:
    if file == "-":
        if not document_id:
            raise typer.BadParameter("a document from stdin needs a name: --id")
        yield Source(document_id, sys.stdin.buffer.read(), media_type or _guessed(document_id) or "text/plain")
        return
    path = Path(file)
    if not path.exists():
        raise TurnlogError(f"There is no file {file}", "Check the path.")
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in MEDIA_TYPES) if path.is_dir() else [path]
    if not found:
        raise TurnlogError(f"Nothing to publish in {file}", f"Known endings: {', '.join(MEDIA_TYPES)}")
    for one in found:
        kind = media_type or _guessed(one.name)
        if kind is None:
            raise TurnlogError(
                f"{one} is of an unknown type", f"Say it: --type. Known endings: {', '.join(MEDIA_TYPES)}"
            )
        name = one.relative_to(path).as_posix() if path.is_dir() else one.name
        yield Source(document_id or name, one.read_bytes(), kind)


def _guessed(name: str) -> str | None:
    return MEDIA_TYPES.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0]


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    return Progress(*columns, console=notes, disable=quiet or not notes.is_terminal, transient=True)
