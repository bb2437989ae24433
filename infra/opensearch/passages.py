"""An index of passages: put, delete by computed ids, search, and a look at what lies in it."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from infra.opensearch.bulk import Action, Bulk
from infra.opensearch.client import Client
from infra.opensearch.mapping import ANY_READER, index_name
from infra.settings import Settings
from schemas.errors import Unavailable
from topics.catalogue import document_key

LOOK = 500  # versions a look fetches at once


@dataclass(frozen=True, kw_only=True)
class IndexedPassage:
    """A passage as it lies in the index. `readers` None: whoever reads the collection."""

    collection_id: str
    document_id: str
    version: int
    passage: int
    title: str | None
    heading: list[str]
    text: str
    page: int | None
    start: int
    end: int
    readers: list[str] | None
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class IndexedVersion:
    """A version that has passages in the index."""

    collection_id: str
    document_id: str
    version: int


@dataclass(frozen=True)
class Hit:
    """A found passage with its scores; `words` and `meaning` null: the arm did not find it."""

    collection_id: str
    document_id: str
    version: int
    passage: int
    title: str | None
    heading: list[str]
    text: str
    page: int | None
    start: int
    end: int
    readers: list[str] | None
    score: float
    words: float | None
    meaning: float | None


@dataclass(frozen=True)
class Answer:
    """What a search found, best first, and how long the server took."""

    hits: list[Hit]
    took_ms: int = field(default=0)


def passage_id(collection_id: str, document_id: str, version: int, passage: int) -> str:
    """The computed id: hash of the document key, version, number."""
    key = hashlib.sha256(document_key(collection_id, document_id).encode()).hexdigest()[:32]
    return f"{key}/{version}/{passage}"


class PassageIndex:
    """Index N. What `put` returned for is found by the next search."""

    def __init__(self, client: Client, settings: Settings, number: int) -> None:
        self._client, self.number, self.name = client, number, index_name(settings, number)
        self._puts = Bulk(client, self.name, "wait_for")
        self._deletes = Bulk(client, self.name, "false")

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, number: int) -> AsyncIterator["PassageIndex"]:
        """Index N with a client of its own."""
        async with Client.open(settings) as client:
            yield cls(client, settings, number)

    async def put(self, passages: Sequence[IndexedPassage]) -> None:
        """Writes passages, each result checked, and returns when they can be found."""
        await self._puts.do([_put(passage) for passage in passages])

    async def delete(self, collection_id: str, document_id: str, version: int, passages: int) -> None:
        """Deletes a version's passages by their ids; those that are gone already are fine."""
        ids = [passage_id(collection_id, document_id, version, number) for number in range(passages)]
        await self._deletes.do([Action(orjson.dumps({"delete": {"_id": one}})) for one in ids])

    async def search(self, body: dict[str, Any]) -> Answer:
        """Runs a query that `retrieval.query` built; an answer of only some shards is none."""
        data = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        found = await self._client.ask("POST", f"/{self.name}/_search", data, include_named_queries_score="true")
        if found["timed_out"] or found["_shards"]["failed"]:
            raise Unavailable("opensearch", f"it answered in part: {found['_shards']}")
        return Answer([_hit(hit) for hit in found["hits"]["hits"]], found["took"])

    async def size(self) -> int:
        """How many passages lie here."""
        return int((await self._client.ask("POST", f"/{self.name}/_count", b'{"query":{"match_all":{}}}'))["count"])

    async def count(self, collection_id: str, document_id: str, version: int) -> int:
        """How many passages of a version lie here."""
        terms = {"collection": collection_id, "document": document_id, "version": version}
        found = await self._client.ask("POST", f"/{self.name}/_count", orjson.dumps(_exactly(terms)))
        return int(found["count"])

    async def versions(self) -> AsyncIterator[list[IndexedVersion]]:
        """Every version that has passages here, page by page."""
        sources = [{name: {"terms": {"field": name}}} for name in ("collection", "document", "version")]
        pages: dict[str, Any] = {"sources": sources, "size": LOOK}
        while True:
            body = {"size": 0, "aggs": {"versions": {"composite": pages}}}
            found = await self._client.ask("POST", f"/{self.name}/_search", orjson.dumps(body))
            keys = [bucket["key"] for bucket in found["aggregations"]["versions"]["buckets"]]
            if not keys:
                return
            yield [IndexedVersion(key["collection"], key["document"], key["version"]) for key in keys]
            pages["after"] = keys[-1]

    async def delete_version(self, version: IndexedVersion) -> None:
        """Deletes whatever lies here of a version, however many passages; for what nobody counted."""
        terms = {"collection": version.collection_id, "document": version.document_id, "version": version.version}
        data = orjson.dumps(_exactly(terms))
        await self._client.ask("POST", f"/{self.name}/_delete_by_query", data, conflicts="proceed", refresh="true")


def _exactly(terms: dict[str, Any]) -> dict[str, Any]:
    return {"query": {"bool": {"filter": [{"term": {name: value}} for name, value in terms.items()]}}}


def _put(passage: IndexedPassage) -> Action:
    found = passage_id(passage.collection_id, passage.document_id, passage.version, passage.passage)
    document = {
        "collection": passage.collection_id,
        "document": passage.document_id,
        "version": passage.version,
        "passage": passage.passage,
        "title": passage.title,
        "heading": passage.heading,
        "body": passage.text,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "readers": [ANY_READER] if passage.readers is None else passage.readers,
        "embedding": passage.embedding,
    }
    return Action(orjson.dumps({"index": {"_id": found}}), orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))


def _hit(hit: dict[str, Any]) -> Hit:
    source, scores = hit["_source"], hit.get("matched_queries") or {}
    return Hit(
        source["collection"],
        source["document"],
        source["version"],
        source["passage"],
        source["title"],
        source["heading"],
        source["body"],
        source["page"],
        source["start"],
        source["end"],
        None if source["readers"] == [ANY_READER] else source["readers"],
        hit["_score"],
        scores.get("words"),
        scores.get("meaning"),
    )
