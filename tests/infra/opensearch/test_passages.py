"""The index of passages: writes that are checked one by one, and errors that mean what they say."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from opensearchpy.exceptions import TransportError

from infra.opensearch.client import Client, _translated
from infra.opensearch.mapping import index_name, knn_vector, passages_body
from infra.opensearch.passages import IndexedPassage, IndexedVersion, PassageIndex, passage_id
from infra.opensearch.provision import provision
from infra.settings import Settings
from retrieval.query import Readable, passages_query
from schemas.errors import Invalid, Unavailable

READABLE = Readable(["c"], ["public"])


def _passage(number: int, **more: object) -> IndexedPassage:
    vector = np.zeros(384, np.float32)
    vector[number] = 1
    made = IndexedPassage(
        collection_id="c",
        document_id="d",
        version=1,
        passage=number,
        title=None,
        heading=[],
        text=f"passage number {number}",
        page=None,
        start=0,
        end=10,
        readers=None,
        embedding=vector,
    )
    return replace(made, **more)  # type: ignore[arg-type]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def index(settings: Settings) -> AsyncIterator[PassageIndex]:
    """Index 1."""
    async with PassageIndex.open(settings, 1) as found:
        yield found


async def _found(index: PassageIndex, number: int, collection_id: str = "c") -> set[int]:
    body = passages_query(
        f"number {number}", _passage(number).embedding, Readable([collection_id], ["public"]), 50, 200
    )
    return {hit.passage for hit in (await index.search(body)).hits}


async def test_what_was_put_is_found_by_the_next_search_and_what_was_deleted_is_not(index: PassageIndex) -> None:
    await asyncio.gather(*(index.put([_passage(number)]) for number in range(20)))
    assert await _found(index, 7) == set(range(20))
    await index.delete("c", "d", 1, 20)
    await index.delete("c", "d", 1, 25)  # gone already, or never there
    await index._client.ask("POST", f"/{index.name}/_refresh", b"")
    assert await _found(index, 7) == set()


async def test_one_bad_passage_fails_its_sender_and_nobody_else(index: PassageIndex) -> None:
    bad = _passage(0, embedding=np.zeros(3, np.float32), version=2)
    good = _passage(1, version=3)
    results = await asyncio.gather(index.put([bad]), index.put([good]), return_exceptions=True)
    assert isinstance(results[0], Invalid)
    assert results[1] is None
    assert 1 in await _found(index, 1)


@pytest.mark.parametrize("answer", [{}, {"items": []}, {"items": [{}]}, {"items": "x"}])
async def test_a_write_whose_answer_nobody_understands_is_tried_again_and_hangs_nobody(
    index: PassageIndex, answer: Any
) -> None:
    class Odd(Client):
        async def ask(self, *_: Any, **__: Any) -> Any:
            return answer

    odd = PassageIndex(Odd(index._client._client), Settings(), 1)
    with pytest.raises(Unavailable, match="another form"):
        await asyncio.wait_for(odd.put([_passage(0)]), 10)


@pytest.mark.parametrize("part", [{"timed_out": True}, {"_shards": {"total": 2, "failed": 1}}])
async def test_an_answer_of_some_shards_only_is_waited_for(index: PassageIndex, part: dict[str, Any]) -> None:
    class Partial(Client):
        async def ask(self, *args: Any, **more: Any) -> dict[str, Any]:
            return await super().ask(*args, **more) | part

    partial = PassageIndex(Partial(index._client._client), Settings(), 1)
    partial.name = index.name
    with pytest.raises(Unavailable, match="in part"):
        await partial.search(passages_query("x", _passage(1).embedding, READABLE, 8, 200))


async def test_an_error_of_the_server_itself_passes_and_a_refusal_does_not() -> None:
    assert isinstance(_translated(TransportError(500, "internal", {})), Unavailable)
    assert isinstance(_translated(TransportError(403, "forbidden", {})), Invalid)


async def test_a_sender_that_gives_up_does_not_take_the_others_with_it(index: PassageIndex) -> None:
    first = asyncio.create_task(index.put([_passage(2, version=4, collection_id="e")]))
    second = asyncio.create_task(index.put([_passage(3, version=4, collection_id="e")]))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert await _found(index, 3, "e") >= {3}


async def test_every_version_in_the_index_is_listed_and_one_can_be_deleted(index: PassageIndex) -> None:
    await index.put([_passage(n, version=version, collection_id="v") for n in range(3) for version in (5, 6)])
    versions = [one async for page in index.versions() for one in page if one.collection_id == "v"]
    assert {version.version for version in versions} == {5, 6}
    await index.delete_version(IndexedVersion("v", "d", 5))
    versions = [one async for page in index.versions() for one in page if one.collection_id == "v"]
    assert {version.version for version in versions} == {6}


async def test_a_server_that_is_away_is_unavailable_and_an_index_that_is_missing_too(settings: Settings) -> None:
    away = settings.model_copy(update={"opensearch_url": "http://127.0.0.1:9"})
    async with PassageIndex.open(away, 1) as index:
        with pytest.raises(Unavailable, match="opensearch"):
            await index.put([_passage(1)])
    async with PassageIndex.open(settings, 77) as index:
        with pytest.raises(Unavailable, match="no such index"):
            await index.put([_passage(1)])  # it is not made in passing, with fields that nothing could search
        with pytest.raises(Unavailable, match="no such index"):
            await index.search(passages_query("x", _passage(1).embedding, READABLE, 8, 200))


def test_provisioning_again_changes_nothing_and_the_next_index_lies_beside(settings: Settings) -> None:
    assert list(provision(settings)) == []
    assert list(provision(settings, 2)) == [f"index {index_name(settings, 2)}"]
    assert list(provision(settings, 2)) == []


def test_every_knn_field_says_lucene_because_every_other_engine_ends_the_node() -> None:
    method = knn_vector(384)["method"]
    assert (method["engine"], method["name"]) == ("lucene", "hnsw")
    fields = passages_body("200ms", "p")["mappings"]["properties"].values()
    assert all(field.get("method", method)["engine"] == "lucene" for field in fields)


def test_ids_of_passages_are_computed_and_no_two_documents_share_one() -> None:
    assert passage_id("a", "b/c", 1, 2) == passage_id("a", "b/c", 1, 2)
    assert passage_id("a", "b", 1, 2).endswith("/1/2")
    assert passage_id("a", "b", 1, 2) != passage_id("a", "c", 1, 2)
