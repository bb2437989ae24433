"""A search, whole: embed the question, find passages, wall them, and look once more when too few are left."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from numpy import float32
from numpy.typing import NDArray

from infra.opensearch.client import Client
from infra.opensearch.passages import Hit, PassageIndex
from infra.postgres.pool import Pool, session
from infra.settings import Settings
from infra.triton.embedder import Embedder
from retrieval.query import By, Readable, passages_query
from retrieval.wall import Scope, Standing, Walled, readable_collections, standings, wall

CHANGED = "documents changed while they were searched"
RESTORES_COUNTED = 1000


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is searched for. `collections` None: all that the caller reads."""

    text: str
    limit: int
    collections: Sequence[str] | None = None
    by: By = "both"


@dataclass(frozen=True)
class FoundPassage:
    """A passage that the caller may read: the hit with its scores, and where people find the original."""

    hit: Hit
    url: str | None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search came to. `walled`: hits that the wall held back; `incomplete`: why some may be missing."""

    passages: list[FoundPassage]
    hits: int
    walled: int
    searches: int
    incomplete: str | None

    @property
    def returned(self) -> int:
        """How many passages are left."""
        return len(self.passages)


class Search:
    """Searches as a caller. `db` is a pool of the role api, under whose policies the wall looks."""

    def __init__(self, settings: Settings, client: Client, embedder: Embedder, db: Pool) -> None:
        self._settings, self._client, self._embedder, self._db = settings, client, embedder, db
        self._indexes: dict[int, PassageIndex] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, db: Pool, embedder: Embedder | None = None) -> AsyncIterator["Search"]:
        """A search with a client of its own, and an embedder unless one is given."""
        async with Client.open(settings) as client:
            if embedder is not None:
                yield cls(settings, client, embedder, db)
                return
            async with Embedder.open(settings) as own:
                yield cls(settings, client, own, db)

    async def search(self, question: Question, user_id: str, principals: Collection[str]) -> Found:
        """The best passages that this user may read now; raises Unavailable or Invalid."""
        vector, scope = await asyncio.gather(self._vector(question), self._readable(question, user_id, principals))
        number, collections = scope.index, scope.collections
        if not collections:
            return Found(passages=[], hits=0, walled=0, searches=0, incomplete="you can read no such collection")
        size = question.limit * self._settings.limits.passages_fetched
        caller = Caller(user_id, frozenset(principals), self._db)
        readable = Readable(collections, caller.principals)
        hits, walled = await self._look(question, vector, number, readable, size, caller)
        searches, seen, held = 1, len(hits), walled.held
        if walled.flipped or (len(walled.kept) < question.limit and walled.hopeless):
            again = Readable(collections, caller.principals, walled.hopeless)
            hits, walled = await self._look(question, vector, number, again, size, caller)
            searches, seen, held = 2, len(hits), held + walled.held
        kept = [FoundPassage(hit, standing.url) for hit, standing in walled.kept[: question.limit]]
        short = walled.held > 0 and len(kept) < question.limit
        incomplete = _restoring(scope.restores_left) or (CHANGED if short else None)
        return Found(passages=kept, hits=seen, walled=held, searches=searches, incomplete=incomplete)

    async def _vector(self, question: Question) -> NDArray[float32]:
        found: NDArray[float32] = (await self._embedder.embed([question.text], priority="question"))[0]
        return found

    async def _readable(self, question: Question, user_id: str, principals: Collection[str]) -> Scope:
        async with session(self._db, user_id, principals) as db:
            return await readable_collections(db, question.collections, self._settings.limits.readable_collections)

    async def _look(
        self,
        question: Question,
        vector: NDArray[float32],
        number: int,
        readable: Readable,
        size: int,
        caller: "Caller",
    ) -> tuple[list[Hit], Walled]:
        depth = self._settings.limits.search_depth
        answer = await self._index(number).search(
            passages_query(question.text, vector, readable, size, depth, question.by)
        )
        return answer.hits, wall(answer.hits, await caller.standings(number, answer.hits))

    def _index(self, number: int) -> PassageIndex:
        if number not in self._indexes:
            self._indexes[number] = PassageIndex(self._client, self._settings, number)
        return self._indexes[number]


def _restoring(left: int) -> str | None:
    if not left:
        return None
    many = (
        f"{left} document versions are"
        if left < RESTORES_COUNTED
        else f"{RESTORES_COUNTED} document versions or more are"
    )
    return f"the index is being restored: {many} not searchable yet"


@dataclass(frozen=True)
class Caller:
    """Who searches."""

    user_id: str
    principals: frozenset[str]
    db: Pool

    async def standings(self, index: int, hits: Sequence[Hit]) -> dict[tuple[str, str], Standing]:
        """What this caller may see of the documents hit."""
        if not hits:
            return {}
        async with session(self.db, self.user_id, self.principals) as db:
            return await standings(db, index, ((hit.collection_id, hit.document_id) for hit in hits))
