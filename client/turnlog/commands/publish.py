"""`turnlog publish`: files in, and back when they can be found."""

import mimetypes
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from turnlog import Turnlog
from turnlog.commands.documents import told
from turnlog.commands.terminal import Json, Key, Url, notes, printable, say, say_json, show_problem
from turnlog.errors import Problem, TurnlogError
from turnlog.model import Document

MEDIA_TYPES = {".md": "text/markdown", ".markdown": "text/markdown", ".txt": "text/plain", ".html": "text/html",
               ".htm": "text/html", ".pdf": "application/pdf"}  # fmt: skip


OF_ONE_DOCUMENT = {400, 409, 413, 415, 422}  # what the server says about one; any other no holds for the next as well


class NotThisOne(TurnlogError):
    """One document cannot be published; the others can."""


@dataclass(frozen=True)
class Source:
    """One document to publish; `file` None: it comes from stdin."""

    document_id: str
    file: Path | None
    media_type: str

    def read(self) -> bytes:
        """Its bytes; raises OSError."""
        return self.file.read_bytes() if self.file else sys.stdin.buffer.read()


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
    _check_names(sources)
    done: list[Document] = []
    with Turnlog.open(url, key) as server, _progress(json) as progress:
        if create:
            server.create_collection(collection)
        for source in sources:
            try:
                done.append(_publish(server, progress, collection, source, title, wait, json))
            except NotThisOne as problem:
                show_problem(problem)
    if json:
        say_json(done)
    if len(done) < len(sources) or any(document.state == "failed" for document in done):
        raise typer.Exit(1)


def _check_names(sources: list[Source]) -> None:
    first: dict[str, Source] = {}
    for source in sources:
        if (other := first.setdefault(source.document_id, source)) is not source:
            raise typer.BadParameter(
                f"{other.file} and {source.file} would both be {source.document_id}, and the second would replace the "
                "first: publish the folder that holds both, or one by one with --id"
            )


def _publish(
    server: Turnlog, progress: Progress, collection: str, source: Source, title: str | None, wait: bool, quiet: bool
) -> Document:
    name = printable(source.document_id)
    try:
        name.encode()
        content = source.read()
    except UnicodeEncodeError as exc:
        raise NotThisOne(f"{source.file}: its name is not UTF-8", "Rename it, or give --id.") from exc
    except OSError as exc:
        raise NotThisOne(f"{source.document_id}: {exc}", "See that it is a file that you may read.") from exc
    task = progress.add_task(name, total=len(content))

    def sent(count: int) -> None:
        indexing = wait and count == len(content)
        progress.update(task, completed=count, description=f"{name}: indexing" if indexing else name)

    began = time.monotonic()
    try:
        document = server.publish(
            collection,
            source.document_id,
            content,
            media_type=source.media_type,
            title=title,
            wait=wait,
            sent=sent,
        )
    except Problem as problem:
        kind = NotThisOne if problem.status in OF_ONE_DOCUMENT else TurnlogError
        told_again = kind(f"{source.document_id}: {problem.cause}", _cure(problem, collection))
        told_again.exit_code = problem.exit_code
        raise told_again from problem
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
        yield Source(document_id, None, media_type or _guessed(document_id) or "text/plain")
        return
    path = Path(file)
    if not os.path.exists(path):  # noqa: PTH110 - also without the right to look
        raise TurnlogError(f"There is no file {file} that you may read", "Check the path.")
    found = _known(path) if path.is_dir() else [path]
    if not found:
        raise TurnlogError(f"Nothing to publish in {file}", f"Known endings: {', '.join(MEDIA_TYPES)}")
    for one in found:
        kind = media_type or _guessed(one.name)
        if kind is None:
            raise TurnlogError(
                f"{one} is of an unknown type", f"Say it: --type. Known endings: {', '.join(MEDIA_TYPES)}"
            )
        name = one.relative_to(path).as_posix() if path.is_dir() else one.name
        yield Source(document_id or name, one, kind)


def _known(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if not os.path.isdir(path))  # noqa: PTH112 - also without that right
    return sorted(file for file in files if file.suffix.lower() in MEDIA_TYPES)


def _guessed(name: str) -> str | None:
    return MEDIA_TYPES.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0]


def _progress(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    return Progress(*columns, console=notes, disable=quiet or not notes.is_terminal, transient=True)
