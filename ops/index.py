"""What `turnlog index` does: has the documents worker make passages anew, through its own queue, and shows how far."""

import asyncio
import time
from dataclasses import dataclass

import psycopg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from infra.opensearch.passages import PassageIndex
from infra.opensearch.provision import provision
from infra.postgres.pool import conninfo
from infra.settings import Settings
from ops.at_servers import done, settings_here
from schemas.errors import Invalid, Unavailable
from turnlog.commands.terminal import notes, say, say_json

# Every version that readers see; what is known of the documents stays, so nothing older can overtake it meanwhile.
NOTE = """insert into state.restores (index, collection_id, document_id, "offset")
select index, collection_id, document_id, live_version from state.documents
where index = %(index)s and live_version is not null on conflict do nothing"""
COUNTS = """select s.index, d.documents, d.passages, (select count(*) from state.restores r where r.index = s.index)
from state.serving_index s
cross join lateral (select count(*) documents, coalesce(sum(live_passages), 0)::bigint passages from state.documents d
  where d.index = s.index and d.live_version is not null) d"""
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Status:
    """The index that questions go to. `passages` None: OpenSearch does not say, or has no such index."""

    index: int
    documents: int
    passages_wanted: int
    restores_left: int
    passages: int | None

    @property
    def complete(self) -> bool:
        """Whether everything that should be found can be."""
        return not self.restores_left and self.passages is not None and self.passages >= self.passages_wanted


def show_status(*, json: bool) -> bool:
    """Whether everything is restored."""
    found = done(_status(settings_here()))
    if json:
        say_json(found)
    else:
        there = "an unknown number" if found.passages is None else f"{found.passages:,}"
        say(f"index {found.index}: {found.documents:,} documents of {found.passages_wanted:,} passages", end="\n")
        say(f"  {there} of the passages there, {found.restores_left:,} documents still to be restored", end="\n")
        if found.complete:
            say("  nothing is missing", end="\n")
        elif not found.restores_left:
            notes.print("OpenSearch is away, or data of it were lost: `turnlog index rebuild` makes them anew.")
    return found.complete


def rebuild_index(*, wait: bool, json: bool) -> None:
    """Asks for everything anew, and stays until it is there."""
    settings = settings_here()
    begun, wanted = time.monotonic(), done(_ask(settings))
    notes.print(f"{wanted:,} documents are to be looked at; the worker `documents` does it, also when this is stopped.")
    if wait:
        done(_watch(settings, wanted))
    found = done(_status(settings))
    if json:
        say_json({"wanted": wanted, "seconds": round(time.monotonic() - begun, 1), **vars(found)})
    elif wait:
        say(f"done in {time.monotonic() - begun:.1f} s: {found.documents:,} documents can be found", end="\n")


async def _ask(settings: Settings) -> int:
    async with await _connected(settings) as db:
        row = await (await db.execute("select index from state.serving_index")).fetchone()
        assert row is not None
        await asyncio.to_thread(lambda: list(provision(settings, int(row[0]))))
        async with db.transaction():
            await db.execute(NOTE, {"index": row[0]})
            left = await (await db.execute("select count(*) from state.restores where index = %s", [row[0]])).fetchone()
    return int(left[0]) if left else 0


async def _watch(settings: Settings, wanted: int) -> None:
    columns = (TextColumn("restoring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True) as progress:
        task = progress.add_task("restoring", total=wanted)
        while left := (await _status(settings, passages=False)).restores_left:
            progress.update(task, completed=max(0, wanted - left))
            await asyncio.sleep(POLL_SECONDS)


async def _status(settings: Settings, *, passages: bool = True) -> Status:
    async with await _connected(settings) as db:
        row = await (await db.execute(COUNTS)).fetchone()
    assert row is not None
    number, documents, wanted, left = row
    return Status(number, documents, wanted, left, await _passages(settings, number) if passages else None)


async def _passages(settings: Settings, number: int) -> int | None:
    async with PassageIndex.open(settings, number) as index:
        try:
            return await index.size()
        except (Unavailable, Invalid):  # away, or there is no such index
            return None


async def _connected(settings: Settings) -> psycopg.AsyncConnection[tuple[int, ...]]:
    try:
        return await psycopg.AsyncConnection.connect(conninfo(settings, "documents"), autocommit=True)
    except psycopg.Error as exc:
        raise Unavailable("postgres", str(exc).partition("\n")[0]) from exc
