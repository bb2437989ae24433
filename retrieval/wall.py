"""The second check of every hit, in Postgres under the caller's row-level security: the index may be behind."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from infra.opensearch.passages import Hit
from infra.postgres.pool import Connection
from schemas.errors import Invalid

Key = tuple[str, str]

STANDING = """
select d.collection_id, d.document_id, v.url, d.live_version,
  d.live_version is not null and (v.withdrawn_offset is null or d.live_version > v.withdrawn_offset)
  and app.reads_collection(d.collection_id)
  and (d.live_readers is null or d.live_readers && (select app.principals()))
  and (v.readers is null or v.readers && (select app.principals()))
from unnest(%(collections)s::text[], %(documents)s::text[]) asked (collection_id, document_id)
join state.documents d using (collection_id, document_id)
join views.documents v using (collection_id, document_id)
where d.index = %(index)s and v.accepted_offset is not null"""

READABLE = """
select s.index, array(
  select c.collection_id from views.collections c
  where c.live and (c.owner = (select app.user_id()) or c.readers && (select app.principals()))
    and (%(asked)s::text[] is null or c.collection_id = any(%(asked)s))
  order by c.collection_id limit %(most)s), app.restores_left()
from state.serving_index s"""


@dataclass(frozen=True)
class Standing:
    """What the caller may see of a document now."""

    live_version: int
    url: str | None


@dataclass(frozen=True)
class Walled:
    """Hits that stand, hits held back, and what a second search should leave out."""

    kept: list[tuple[Hit, Standing]]
    held: int
    flipped: bool
    hopeless: list[Key]


@dataclass(frozen=True)
class Scope:
    """Where a caller may search: the serving index, its collections, and how many versions are still to be restored."""

    index: int
    collections: list[str]
    restores_left: int


async def readable_collections(db: Connection, asked: Sequence[str] | None, most: int) -> Scope:
    """The scope of a search, of the collections asked for; raises Invalid over `most`."""
    row = await (
        await db.execute(READABLE, {"asked": None if asked is None else list(asked), "most": most + 1})
    ).fetchone()
    if row is None:
        raise Invalid("there is no serving index: the database was not provisioned")
    if len(row[1]) > most:
        raise Invalid(f"you can read more than {most} collections: name those to search in")
    return Scope(int(row[0]), list(row[1]), int(row[2]))


async def standings(db: Connection, index: int, documents: Iterable[Key]) -> dict[Key, Standing]:
    """The documents among these that the caller may read now, with their live version."""
    keys = sorted(set(documents))
    asked = {"index": index, "collections": [key[0] for key in keys], "documents": [key[1] for key in keys]}
    rows = await db.execute(STANDING, asked)
    return {(row[0], row[1]): Standing(row[3], row[2]) async for row in rows if row[4]}


def wall(hits: Sequence[Hit], allowed: dict[Key, Standing]) -> Walled:
    """Keeps a hit when its document is readable and its version is the live one."""
    kept, flipped, hopeless = [], False, dict[Key, None]()
    for hit in hits:
        key = (hit.collection_id, hit.document_id)
        standing = allowed.get(key)
        if standing is None:
            hopeless[key] = None
        elif standing.live_version != hit.version:
            flipped = True
        else:
            kept.append((hit, standing))
    return Walled(kept, len(hits) - len(kept), flipped, list(hopeless))
