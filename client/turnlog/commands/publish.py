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
from rich.progress import Progress

from turnlog import Turnlog
from turnlog.body import Body, size_of
from turnlog.commands import offered
from turnlog.commands.documents import told
from turnlog.commands.terminal import Json, Key, Url, opened, printable, progress, say, say_json, show_problem
from turnlog.errors import Problem, TurnlogError
from turnlog.model import Document, StoredObject
from turnlog.sync.documents import LARGE_BYTES

MEDIA_TYPES = {".md": "text/markdown", ".markdown": "text/markdown", ".txt": "text/plain", ".html": "text/html",
               ".htm": "text/html", ".pdf": "application/pdf"}  # fmt: skip


STORED = "sha256:"
OF_ONE_DOCUMENT = {400, 409, 413, 415, 422}  # what the server says about one; any other no holds for the next as well


class NotThisOne(TurnlogError):
    """One document cannot be published; the others can."""


@dataclass(frozen=True)
class Source:
    """One document to publish; `file` None: it comes from stdin, a hash: from an object that was uploaded."""

    document_id: str
    file: Path | str | None
    media_type: str

    def content(self, server: Turnlog) -> Body | StoredObject:
        """What to publish; raises OSError."""
        if isinstance(self.file, str):
            return server.object(self.file)
        if self.file is None:
            return sys.stdin.buffer.read()
        return self.file if self.file.stat().st_size > LARGE_BYTES else self.file.read_bytes()


def publish(
    files: Annotated[
        list[str], typer.Argument(help="Files and folders; with --id also - for stdin, or sha256:HASH for an object.")
    ],
    collection: Annotated[
        str,
        typer.Option(
            "--to", "--collection", "-t", help="Collection to publish to.", autocompletion=offered.collections
        ),
    ],
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
    with opened(url, key) as server, progress(quiet=json) as bars:
        if create:
            server.create_collection(collection)
        publishing = Publishing(server, bars, collection, title, json)
        for source in sources:
            try:
                done.append(publishing.publish(source, wait=wait and len(sources) == 1))
            except NotThisOne as problem:
                show_problem(problem)
            except TurnlogError:
                for document in done:
                    publishing.settled(document, wait=False)
                raise
        done = [publishing.settled(document, wait=wait) for document in done]
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


class Publishing:
    """One document after the other, with a bar each; many are indexed side by side, and waited for at the end."""

    def __init__(self, server: Turnlog, bars: Progress, collection: str, title: str | None, quiet: bool) -> None:
        self._server, self._bars, self._quiet = server, bars, quiet
        self._collection, self._title = collection, title
        self._began: dict[str, float] = {}

    def publish(self, source: Source, wait: bool) -> Document:
        """Raises NotThisOne when others may fare better, and TurnlogError when none will."""
        name = printable(source.document_id)
        began = time.monotonic()
        task = self._bars.add_task(name, total=None)
        try:
            name.encode()
            content = source.content(self._server)
            size = content.size if isinstance(content, StoredObject) else size_of(content)
            self._bars.update(task, total=size)

            def sent(count: int) -> None:
                indexing = wait and count == size
                self._bars.update(task, completed=count, description=f"{name}: indexing" if indexing else name)

            document = self._server.publish(
                self._collection,
                source.document_id,
                content,
                media_type=source.media_type,
                title=self._title,
                wait=wait,
                sent=sent,
            )
        except UnicodeEncodeError as exc:
            raise NotThisOne(f"{source.file}: its name is not UTF-8", "Rename it, or give --id.") from exc
        except OSError as exc:
            raise NotThisOne(f"{source.document_id}: {exc}", "See that it is a file that you may read.") from exc
        except Problem as problem:
            kind = NotThisOne if problem.status in OF_ONE_DOCUMENT else TurnlogError
            told_again = kind(f"{source.document_id}: {problem.cause}", _cure(problem, self._collection))
            told_again.exit_code = problem.exit_code
            raise told_again from problem
        finally:
            self._bars.remove_task(task)
        self._began[document.document_id] = began
        return document

    def settled(self, document: Document, wait: bool) -> Document:
        """Says what has become of it; with `wait` once it can be found, or has failed."""
        task = self._bars.add_task(f"{printable(document.document_id)}: indexing", total=None)
        try:
            found = self._server.searchable(document) if wait else document
        finally:
            self._bars.remove_task(task)
        if not self._quiet:
            say(f"{told(found)}  {time.monotonic() - self._began[document.document_id]:.1f} s", end="\n")
        return found


def _cure(problem: Problem, collection: str) -> str:
    if problem.status == 404:
        return f"There is no collection {collection} that this key may publish to: add --create, or see --to."
    return problem.cure


def _sources(file: str, document_id: str | None, media_type: str | None) -> Iterator[Source]:
    if file == "-" or file.startswith(STORED):
        if not document_id:
            raise typer.BadParameter("a document from stdin or of an object needs a name: --id")
        where = file.removeprefix(STORED) if file.startswith(STORED) else None
        yield Source(document_id, where, media_type or _guessed(document_id) or "text/plain")
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
