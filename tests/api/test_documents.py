"""Documents over HTTP: published, found, listed, narrowed, taken back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from infra.opensearch.passages import PassageIndex
from schemas.documents import DocumentFailed, Source
from schemas.event import uuid7
from tests.api.house import House
from tests.workers import working
from topics.catalogue import DOCUMENT_STATUS, document_key

DATA = Path(__file__).parents[1] / "data"
HOSTILE = [
    "a/b.txt",
    "a//b/",
    "über uns",
    "50%",
    "%2e%2e%2fx",
    "a?b#c",
    "a;b=c&d",
    "documents",
    "'\";--",
    "日本/语",
    "x" * 512,
]


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def worker(house: House, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[None]:
    """The worker that indexes, and sweeps often."""
    limits = house.settings.limits.model_copy(update={"sweep_seconds": 0.5})
    settings = house.settings.model_copy(update={"limits": limits})
    async with working(settings, tmp_path_factory.mktemp("workers"), "documents"):
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ann(house: House, worker: None) -> httpx.AsyncClient:
    """Owns the collection `papers`, which bob reads."""
    ann = await house.user("ann")
    await house.user("bob")
    await house.user("cyd")
    await house.group("ours", "ann", "ann", "bob")
    await made(ann, "papers", "user:bob")
    return ann


async def made(client: httpx.AsyncClient, collection: str, *readers: str) -> None:
    body = {"collection_id": collection, "name": collection, "readers": list(readers)}
    assert (await client.post("/v1/collections", json=body)).status_code == 201


def at(document: str, collection: str = "papers") -> str:
    return f"/v1/collections/{collection}/documents/{quote(document, safe='')}"


async def put(client: httpx.AsyncClient, document: str, words: str | bytes, **more: Any) -> httpx.Response:
    head = {"content-type": more.pop("kind", "text/plain")} | more.pop("headers", {})
    return await client.put(more.pop("where", at(document)), content=words, headers=head, params=more)


async def found(client: httpx.AsyncClient, words: str, collection: str = "papers") -> list[str]:
    answer = await client.post("/v1/search", json={"query": words, "collections": [collection]})
    assert answer.status_code == 200, answer.text
    return list(dict.fromkeys(passage["document_id"] for passage in answer.json()["passages"]))


async def test_a_document_that_was_waited_for_is_found_and_tells_what_became_of_it(
    house: House, ann: httpx.AsyncClient
) -> None:
    answer = await put(ann, "pump", "The pump in hall 3 stops.", wait="searchable", title="Pump", source_version=3)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["key"], told["state"], told["passages"]) == ("papers/pump", "indexed", 1)
    assert told["version"] == told["live_version"] == int(answer.headers["x-turnlog-position"].rpartition(":")[2])
    assert (told["title"], told["media_type"], told["source_version"]) == ("Pump", "text/plain", 3)
    assert (told["publisher"], told["size"], told["readers"]) == ("user:ann", 25, None)
    assert await found(ann, "pump hall") == ["pump"]
    assert (await house.people["bob"].get(at("pump"))).json()["state"] == "indexed"
    assert await found(house.people["bob"], "pump hall") == ["pump"]


async def test_a_search_tells_both_scores_and_why_a_passage_is_there(house: House, ann: httpx.AsyncClient) -> None:
    await made(ann, "birds", "user:bob")
    await put(ann, "kite", "A red kite circles.", where=at("kite", "birds"), wait="searchable")
    await put(
        ann, "fox", "A fox sleeps.", where=at("fox", "birds"), wait="searchable", readers=["user:ann", "group:ours"]
    )
    bob = house.people["bob"]
    answer = (await bob.post("/v1/search", json={"query": "red kite", "collections": ["birds"]})).json()
    kite, fox = answer["passages"]
    assert (kite["document_id"], kite["text"], fox["document_id"]) == ("kite", "A red kite circles.", "fox")
    assert 0 <= fox["score"] < kite["score"] <= 1
    assert kite["score_text"] > 0
    assert fox["score_text"] is None, "its words do not occur"
    assert 0 < fox["score_vector"] < kite["score_vector"] <= 1
    assert kite["why"] == {"found_by": ["words", "meaning"], "readable_as": ["collection"]}
    assert fox["why"] == {"found_by": ["meaning"], "readable_as": ["group:ours"]}
    assert (answer["hits"], answer["walled"], answer["returned"], answer["incomplete"]) == (2, 0, 2, None)
    alone = {"query": "red kite", "collections": ["birds"], "by": "words"}
    (only,) = (await bob.post("/v1/search", json=alone)).json()["passages"]
    assert (only["document_id"], only["score"]) == ("kite", only["score_text"])


async def test_a_passage_of_a_pdf_is_found_with_its_page(ann: httpx.AsyncClient) -> None:
    await made(ann, "books")
    content = (DATA / "bookmarks-2-pages.pdf").read_bytes()
    where = at("two-pages.pdf", "books")
    told = (await put(ann, "", content, where=where, kind="application/pdf", wait="searchable")).json()
    assert told["state"] == "indexed", told
    answer = await ann.post("/v1/search", json={"query": "a page about Denmark", "collections": ["books"]})
    best = answer.json()["passages"][0]
    assert (best["document_id"], best["page"]) == ("two-pages.pdf", 2)
    assert best["text"] == "This is a page about Denmark"


async def test_a_question_of_two_thousand_words_is_answered(ann: httpx.AsyncClient) -> None:
    await made(ann, "long")
    await put(ann, "heron", "The heron waits.", where=at("heron", "long"), wait="searchable")
    question = "What does the heron do? " + " ".join(f"word{n}" for n in range(2000))
    assert await found(ann, question, "long") == ["heron"]


async def test_without_waiting_it_is_queued_and_later_indexed(ann: httpx.AsyncClient) -> None:
    answer = await put(ann, "later", "Later is soon enough.")
    assert answer.status_code == 202
    assert answer.json()["state"] in ("queued", "indexed")
    async with asyncio.timeout(60):
        while (told := (await ann.get(at("later"))).json())["state"] == "queued":
            await asyncio.sleep(0.05)
    assert told["state"] == "indexed"


@pytest.mark.parametrize("name", ["caf%E9.txt", "a%FFb", "%ED%A0%80", "a.txt?title=caf%E9"])
async def test_an_id_that_is_no_utf8_is_refused_and_not_another_one(ann: httpx.AsyncClient, name: str) -> None:
    at = f"/v1/collections/open/documents/{name}"
    answer = await ann.put(at, content=b"words", headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:turnlog:invalid")
    assert "no UTF-8" in answer.json()["detail"]


async def test_any_id_comes_back_as_it_was_given(ann: httpx.AsyncClient) -> None:
    await made(ann, "names")
    for one in HOSTILE:
        answer = await put(ann, one, "words", where=at(one, "names"))
        assert (answer.status_code, answer.json()["document_id"]) == (202, one)
        assert (await ann.get(at(one, "names"))).json()["document_id"] == one
    plain = await put(ann, "", "words", where="/v1/collections/names/documents/not/encoded at all")
    assert plain.json()["document_id"] == "not/encoded at all"
    listed = [told["document_id"] async for told in pages(ann, "names", 3)]
    assert sorted(listed) == sorted([*HOSTILE, "not/encoded at all"])
    for one in HOSTILE:
        assert (await ann.delete(at(one, "names"))).status_code == 204


async def pages(client: httpx.AsyncClient, collection: str, limit: int) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await client.get(f"/v1/collections/{collection}/documents", params={"cursor": cursor, "limit": limit})
        ).json()
        assert len(page["documents"]) <= limit
        for told in page["documents"]:
            yield told
        cursor = page["next"]


@pytest.mark.parametrize(
    ("status", "kind", "more"),
    [
        (415, "unsupported-media-type", {"kind": "application/zip"}),
        (415, "unsupported-media-type", {"kind": "application/x-www-form-urlencoded"}),
        (422, "invalid-title", {"title": "x" * 501}),
        (422, "invalid-url", {"url": "javascript:alert(1)"}),
        (422, "invalid-reader", {"readers": "everybody"}),
        (404, "not-found", {"readers": "user:cyd"}),
        (404, "not-found", {"object_sha256": "f" * 64}),
        (422, "invalid", {"object_sha256": "../x"}),
        (422, "invalid", {"source_version": "-1"}),
        (422, "invalid", {"wait": "forever"}),
        (400, "invalid", {"headers": {"idempotency-key": "x" * 256}}),
        (422, "invalid", {"where": "/v1/collections/papers/documents/" + "x" * 513}),
        (422, "invalid", {"where": "/v1/collections/papers/documents/a%00b"}),
        (413, "too-large", {"words": b"a" * (8 * 1024 * 1024 + 1)}),
    ],
)
async def test_what_cannot_be_published_is_told_at_once(
    ann: httpx.AsyncClient, status: int, kind: str, more: dict[str, Any]
) -> None:
    answer = await put(ann, "bad", **{"words": "words"} | more)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:turnlog:{kind}"), answer.text
    assert (await ann.get(at("bad"))).status_code == 404


async def test_a_sender_that_names_no_type_has_it_read_off_the_id(ann: httpx.AsyncClient) -> None:
    for document, kind in (("a.md", "text/markdown"), ("a.html", "text/html"), ("a.pdf", "application/pdf")):
        told = (await put(ann, document, "words", kind="application/octet-stream")).json()
        assert told["media_type"] == kind


async def test_the_owner_publishes_and_readers_read_and_for_others_there_is_nothing(
    house: House, ann: httpx.AsyncClient
) -> None:
    bob, cyd, reading = house.people["bob"], house.people["cyd"], await house.key("ann", "search")
    await put(ann, "shared", "words")
    for client, write, read in ((bob, 403, 200), (cyd, 404, 404), (reading, 403, 200)):
        assert (await put(client, "shared", "others' words")).status_code == write
        assert (await client.delete(at("shared"))).status_code == write
        assert (await client.get(at("shared"))).status_code == read
        assert (await client.get("/v1/collections/papers/documents")).status_code == read
    root = await house.user("root", "admin", "publish", "search")
    assert (await root.get(at("shared"))).status_code == 404  # administrators read nobody's words
    assert (await root.get("/v1/collections/papers/documents")).status_code == 404


async def test_a_document_with_readers_of_its_own_is_seen_by_them_alone(house: House, ann: httpx.AsyncClient) -> None:
    bob = house.people["bob"]
    await put(ann, "narrow", "The narrow gate.", wait="searchable", readers=["group:ours"])
    told = (await bob.get(at("narrow"))).json()
    assert told["readers"] == ["group:ours"]
    assert (await found(bob, "narrow gate"))[0] == "narrow"
    await put(ann, "narrow", "The narrow gate.", readers=["user:ann"])
    assert (await bob.get(at("narrow"))).status_code == 404
    assert "narrow" not in await found(bob, "narrow gate")
    assert "narrow" not in [told["document_id"] async for told in pages(bob, "papers", 100)]
    assert (await ann.get(at("narrow"))).json()["readers"] == ["user:ann"]
    assert (await put(ann, "nobody", "Nobody's.", readers=[""])).json()["readers"] == []


async def test_a_withdrawn_document_is_hidden_when_the_answer_comes(house: House, ann: httpx.AsyncClient) -> None:
    bob = house.people["bob"]
    await put(ann, "gone", "The gone goose.", wait="searchable", title="Goose")
    assert (await found(bob, "gone goose"))[0] == "gone"
    answer = await ann.delete(at("gone"))
    assert answer.status_code == 204
    assert "gone" not in await found(bob, "gone goose")
    assert (await bob.get(at("gone"))).status_code == 404
    async with asyncio.timeout(60):
        while (told := (await ann.get(at("gone"))).json())["state"] == "removing":
            await asyncio.sleep(0.05)
    assert (told["state"], told["title"], told["live_version"]) == ("withdrawn", None, None)
    assert (await ann.delete(at("gone"))).status_code == 204
    assert (await put(ann, "gone", "The goose is back.", wait="searchable")).json()["state"] == "indexed"
    assert "gone" in await found(bob, "goose back")


async def test_a_document_that_never_was_cannot_be_taken_back(ann: httpx.AsyncClient) -> None:
    assert (await ann.delete(at("never"))).status_code == 404


async def test_one_idempotency_key_is_one_version(ann: httpx.AsyncClient) -> None:
    head = {"idempotency-key": uuid7()}
    answers = await asyncio.gather(*(put(ann, "once", "Once.", headers=head) for _ in range(5)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.headers["x-turnlog-position"] for answer in answers}) == 1
    other = await put(ann, "once", "Twice.", headers=head)
    assert (other.status_code, other.json()["type"]) == (422, "urn:turnlog:key-reused")
    titled = await put(ann, "once", "Once.", headers=head, title="Other")
    assert titled.status_code == 422


async def test_a_lower_number_of_the_publishers_is_ignored_and_says_so(ann: httpx.AsyncClient) -> None:
    newer = (await put(ann, "numbered", "Newer.", wait="searchable", source_version=7)).json()
    answer = await put(ann, "numbered", "Older.", wait="searchable", source_version=6)
    assert (answer.json()["version"], answer.json()["source_version"]) == (newer["version"], 7)
    again = (await put(ann, "numbered", "Newer.", wait="searchable", source_version=7)).json()
    assert (again["state"], again["live_version"]) == ("indexed", newer["version"])
    assert again["version"] > newer["version"]


async def test_a_version_that_fails_says_why_and_the_one_before_it_stays(ann: httpx.AsyncClient) -> None:
    first = (await put(ann, "report", "The quarterly report.", wait="searchable")).json()
    content = (DATA / "password-openpassword.pdf").read_bytes()
    answer = await put(ann, "report", content, kind="application/pdf", wait="searchable")
    told = answer.json()
    assert (answer.status_code, told["state"], told["code"]) == (200, "failed", "encrypted")
    assert "without one" in told["reason"]
    assert told["live_version"] == first["version"]
    assert (await found(ann, "quarterly report"))[0] == "report"


async def test_a_refusal_at_an_inbox_is_seen_by_the_owner_and_one_of_a_stranger_by_nobody(
    house: House, ann: httpx.AsyncClient
) -> None:
    for document, code in (("refused", "invalid-url"), ("strange", "not-allowed")):
        failed = DocumentFailed(
            collection_id="papers",
            document_id=document,
            version=None,
            stage="admit",
            code=code,
            reason="why",
            source=Source(),
        )
        await house.tell(DOCUMENT_STATUS, document_key("papers", document), failed)
    told = (await ann.get(at("refused"))).json()
    assert (told["state"], told["version"], told["code"], told["refused"]["reason"]) == (
        "failed",
        None,
        "invalid-url",
        "why",
    )
    assert (await house.people["bob"].get(at("refused"))).status_code == 404
    assert (await ann.get(at("strange"))).status_code == 404
    await put(ann, "refused", "words", wait="searchable")
    assert (await ann.get(at("refused"))).json()["refused"] is None


async def test_in_a_deleted_collection_there_is_nothing_any_more(house: House, ann: httpx.AsyncClient) -> None:
    await made(ann, "brief")
    await put(ann, "x", "words", where=at("x", "brief"), wait="searchable")
    assert (await ann.delete("/v1/collections/brief")).status_code == 204
    for answer in (await ann.get(at("x", "brief")), await put(ann, "x", "words", where=at("x", "brief"))):
        assert answer.status_code == 404
    async with PassageIndex.open(house.settings, 1) as index, asyncio.timeout(60):
        while "brief" in [one.collection_id async for page in index.versions() for one in page]:
            await asyncio.sleep(0.1)
