"""Postgres lost, OpenSearch lost: everything comes back from the log, and questions say what is missing meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from infra.opensearch.mapping import index_name
from infra.opensearch.passages import PassageIndex
from infra.postgres.migrate import drop, superuser_dsn
from infra.settings import Settings
from ops.index import rebuild_index, show_status
from ops.provision import provision
from streams.documents.agents import open_documents
from tests.api.house import House, open_house
from tests.chatting import answering, ask, conversation, follow, turn, working
from tests.environment import environment

SECONDS = 90
VIEWS = """select format('%I.%I', schemaname, relname) from pg_stat_user_tables where schemaname = 'views' order by 1"""
WORDS = {"pump": "The pump in hall 3 is called Berta.", "roof": "The roof was made of slate in 1874."}


@asynccontextmanager
async def everything(settings: Settings) -> AsyncIterator[House]:
    """API, views, chat and documents workers."""
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(open_house(settings))
        await stack.enter_async_context(answering(settings))
        await stack.enter_async_context(working("documents", open_documents, settings))
        yield house


def views_of(settings: Settings) -> dict[str, list[str]]:
    """Every row of every view, as text, in order."""
    with psycopg.connect(superuser_dsn(settings, settings.postgres_database)) as db:
        tables = [str(name) for (name,) in db.execute(VIEWS)]
        return {name: sorted(str(row[0]) for row in db.execute(f"select t::text from {name} t")) for name in tables}


async def put(client: httpx.AsyncClient, document: str, text: str, **more: int) -> None:
    """A document that can be found."""
    done = await client.put(
        f"/v1/collections/works/documents/{document}",
        content=text,
        headers={"content-type": "text/plain; charset=utf-8"},
        params={"wait": "searchable", **more},
    )
    assert done.is_success, done.text


async def search(client: httpx.AsyncClient, query: str) -> dict[str, Any]:
    """What a search says."""
    answer = await client.post("/v1/search", json={"query": query})
    assert answer.is_success, answer.text
    return dict(answer.json())


async def passages(settings: Settings) -> int:
    """How many lie in the index."""
    async with PassageIndex.open(settings, 1) as index:
        return await index.size()


async def found(client: httpx.AsyncClient, query: str) -> list[tuple[str, int]]:
    """Documents and versions, once nothing is missing any more."""
    async with asyncio.timeout(SECONDS):
        while (said := await search(client, query))["incomplete"]:
            await asyncio.sleep(0.2)
    return sorted((passage["document_id"], passage["version"]) for passage in said["passages"])


async def settle(house: House) -> tuple[httpx.AsyncClient, str, str]:
    """Anna with documents, one of them withdrawn, and a conversation."""
    anna = await house.user("anna")
    assert (await anna.post("/v1/collections", json={"collection_id": "works", "name": "Works"})).is_success
    for name, text in {**WORDS, "gone": "The cellar is full of pumps."}.items():
        await put(anna, name, text, source_version=5)
    assert (await anna.delete("/v1/collections/works/documents/gone")).is_success
    where = await conversation(anna)
    turn_id = await ask(anna, where, "words: count=5 delay_ms=1")
    await follow(anna, turn_id)
    async with asyncio.timeout(SECONDS):
        while "gone" in [document for document, _ in await found(anna, "pump cellar")]:
            await asyncio.sleep(0.2)
    return anna, where, turn_id


async def test_an_empty_database_gets_everything_back_from_the_log(settings: Settings) -> None:
    async with everything(settings) as house:
        anna, where, turn_id = await settle(house)
        key = anna.headers["authorization"].removeprefix("Bearer ")
        answered, before = await turn(anna, turn_id), await found(anna, "pump roof cellar")
        assert {document for document, _ in before} == set(WORDS)
        await asyncio.sleep(0.5)  # the views have every receipt
    kept = views_of(settings)

    drop(settings)
    provision(settings)
    size = await passages(settings)
    async with everything(settings) as house:
        anna = await house.client(key)  # it works as before
        assert await found(anna, "pump roof cellar") == before
        assert await passages(settings) == size  # adopted: nothing was embedded or put again
        assert await turn(anna, turn_id) == answered
        assert where in [one["conversation_id"] for one in (await anna.get("/v1/conversations")).json()]
        assert views_of(settings) == kept
        await put(anna, "pump", "The pump in hall 3 is called Clara now.", source_version=6)
        newest = (await search(anna, "What is the pump called?"))["passages"][0]
        assert newest["text"].endswith("Clara now.")
        await put(anna, "gone", "The cellar is full of old pumps.", source_version=4)
        assert "gone" not in [document for document, _ in await found(anna, "pump cellar")]  # what was withdrawn had 5


async def test_a_lost_index_is_made_anew_while_questions_say_that_it_is_incomplete(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    async with AsyncExitStack() as stack:
        house = await stack.enter_async_context(open_house(settings))
        anna = await house.user("otto")
        assert (await anna.post("/v1/collections", json={"collection_id": "halls", "name": "Halls"})).is_success
        async with working("documents", open_documents, settings):
            for number in range(6):
                at = f"/v1/collections/halls/documents/{number}"
                head = {"content-type": "text/plain"}
                words = f"Hall {number} has {number + 2} doors."
                wanted = {"wait": "searchable", "source_version": "5"}
                done = await anna.put(at, content=words, headers=head, params=wanted)
                assert done.is_success, done.text
            before = await found(anna, "doors of the halls")
            assert len(before) == 6
            size = await passages(settings)
            assert await asyncio.to_thread(show_status, json=False)

        httpx.delete(f"{settings.opensearch_url}/{index_name(settings, 1)}", trust_env=False).raise_for_status()
        begun = time.monotonic()
        await asyncio.to_thread(rebuild_index, wait=False, json=False)
        assert not await asyncio.to_thread(show_status, json=True)
        said = await search(anna, "doors of the halls")
        assert "the index is being restored: " in said["incomplete"]
        assert said["passages"] == []
        older, at = "Hall 0 has no doors.", "/v1/collections/halls/documents/0"
        assert (await anna.put(at, content=older, headers=head, params={"source_version": 4})).is_success
        assert (await anna.delete("/v1/collections/halls/documents/1")).is_success
        async with working("documents", open_documents, settings):
            await asyncio.to_thread(rebuild_index, wait=True, json=False)
            after = [(document, version) for document, version in before if document != "1"]
            async with asyncio.timeout(SECONDS):
                while await found(anna, "doors of the halls") != after or await passages(settings) != size - 1:
                    await asyncio.sleep(0.2)
            assert await asyncio.to_thread(show_status, json=False)
        assert time.monotonic() - begun < SECONDS
