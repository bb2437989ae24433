"""`turnlog upload`: files as objects, whose hash a document names."""

from pathlib import Path
from typing import Annotated

import typer

from turnlog.commands.terminal import Json, Key, Url, opened, printable, progress, say, say_json
from turnlog.errors import TurnlogError


def upload(
    files: Annotated[list[Path], typer.Argument(help="Files, at most 1 GiB each.")],
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Stores files under the SHA-256 of their bytes and prints it; the same bytes again change nothing.

    `turnlog publish` does so by itself with large files. An object that no document names is deleted after a while.

    Examples:

      turnlog upload manual.pdf

      turnlog publish --to handbook --id manual.pdf sha256:$(turnlog upload scan.pdf | cut -d' ' -f1)
    """
    stored = []
    with opened(url, key) as server, progress(quiet=json) as bars:
        for file in files:
            task = bars.add_task(printable(file.name), total=None)
            try:
                bars.update(task, total=file.stat().st_size)
                found = server.upload(file, sent=lambda count, task=task: bars.update(task, completed=count))  # type: ignore[misc]
            except OSError as exc:
                raise TurnlogError(f"{file} cannot be read: {exc}", "See that it is a file that you may read.") from exc
            finally:
                bars.remove_task(task)
            stored.append({"file": str(file), "sha256": found.sha256, "size": found.size})
            if not json:
                say(f"{found.sha256}  {file}", end="\n")
    if json:
        say_json(stored)
