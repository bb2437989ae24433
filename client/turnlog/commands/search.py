"""`turnlog search`: the passages that answer a query, with the scores that put them there."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from turnlog.commands.terminal import Json, Key, Url, Within, notes, opened, printable, say_json, show_table
from turnlog.model import Passage

LONGEST = 300


def search(
    query: Annotated[list[str], typer.Argument(help="What to look for; quotes are not needed.")],
    collection: Within = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=50, help="Passages at most.")] = 8,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Finds passages by words and by meaning, among the documents that this key may read.

    Examples:

      turnlog search night shift pump

      turnlog search --in handbook -n 3 --json "who is on call" | jq '.[].document_id'
    """
    with opened(url, key) as server:
        found = server.search(" ".join(query), collections=collection, limit=limit)
    if json:
        say_json(found)
    elif found:
        show_table(_table(found))
    else:
        notes.print("Nothing found: other words, another --in, or documents this key may not read.")


def _table(found: list[Passage]) -> Table:
    table = Table("score", "words", "meaning", "where", "what it says", box=None, padding=(0, 2, 1, 0))
    for passage in found:
        where = f"{passage.place}\n{passage.collection_id}/{passage.document_id}"
        scores = (_score(passage.score), _score(passage.score_text), _score(passage.score_vector))
        table.add_row(*scores, Text(printable(where)), Text(printable(_short(passage.text or ""))))
    return table


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"
