"""A document that kills its parser, through the running worker: it is told of, and the others are found."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from schemas.documents import DocumentFailed
from tests.api.house import House, open_house
from tests.faults.turns.processes import Processes, until
from tests.kafka_reading import all_of
from tests.workers import working
from topics.catalogue import DOCUMENT_STATUS

POISON = b"<p>" + b"<b>x</b>" * 1_000_000  # parsed, it needs more memory than its parser is given here
MEMORY_BYTES = 220 * 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    """With parsers that have little memory."""
    limits = settings.limits.model_copy(update={"parse_memory_bytes": MEMORY_BYTES})
    async with open_house(settings.model_copy(update={"limits": limits})) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(house: House, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Processes]:
    """The worker that indexes."""
    async with working(house.settings, tmp_path_factory.mktemp("workers"), "documents") as processes:
        yield processes


async def test_a_document_that_kills_its_parser_is_told_of_and_its_neighbours_are_found(
    house: House, worker: Processes
) -> None:
    ann = await house.user("ann")
    made = await ann.post("/v1/collections", json={"collection_id": "c", "name": "C", "readers": []})
    assert made.status_code == 201
    for name, words in (("before", b"<p>The grebe dives."), ("poison", POISON), ("after", b"<p>The stilt wades.")):
        answer = await ann.put(
            f"/v1/collections/c/documents/{name}", content=words, headers={"content-type": "text/html"}
        )
        assert answer.status_code == 202, answer.text

    async def decided() -> bool:
        return [await state(ann, name) for name in ("before", "poison", "after")] == ["indexed", "failed", "indexed"]

    await until(decided, 60, "the three documents were not decided")
    assert "a parser died of a document" in worker.output("documents")
    for query, name in (("the grebe dives", "before"), ("the stilt wades", "after")):
        answer = await ann.post("/v1/search", json={"query": query, "collections": ["c"]})
        assert answer.json()["passages"][0]["document_id"] == name
    (failed,) = await failures(house.settings)
    assert (failed.document_id, failed.stage, failed.code) == ("poison", "parse", "broken")
    assert (await ann.get("/v1/collections/c/documents/poison")).json()["reason"] == failed.reason


async def state(client: httpx.AsyncClient, document: str) -> str:
    """What its owner is told of a document."""
    return str((await client.get(f"/v1/collections/c/documents/{document}")).json()["state"])


async def failures(settings: Settings) -> list[DocumentFailed]:
    """The receipts of documents that failed."""
    registry = RegistryClient(settings)
    codec, topic = Codec(registry), DOCUMENT_STATUS
    said = [
        await codec.decode(topic.name, topic.events, found.value, dict(found.headers))
        for found in await all_of(settings, topic)
    ]
    await registry.close()
    return [event for event in said if isinstance(event, DocumentFailed)]
