"""A house with a model that keeps what it was sent, and documents to read: for tests of what is on the log after."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.settings import Settings
from streams.documents.agents import open_documents
from tests.api.house import House, open_house
from tests.chatting import answering, follow, joined, working
from tests.infra.providers.fake_openai import DONE, HEAD, FakeOpenAI, piece

MODELS = """
default: hosted
providers:
  hosted: {{kind: openai, url: "{url}"}}
models:
  hosted:
    provider: hosted
    model: some-model
    retrieval: {{collections: all, passages: 3}}
    parameters: {{max_tokens: 99, temperature: 0.5}}
"""
PUMP = "The pump in hall 3 is called Berta. It may run for 400 hours between two services."
ROOF = "The roof was made of <slate> & copper in 1874."
STOP = "end of the Zeppelin"
SAID = ("Berta", " [1", "] runs 400 hours", " [7]", ". The roof is slate [2].")
SAYS = "Berta [1] runs 400 hours. The roof is slate [2]."


@dataclass
class Asking:
    """A house with a model that keeps what it was sent, and documents to read."""

    house: House
    anna: httpx.AsyncClient
    model: FakeOpenAI
    settings: Settings


@asynccontextmanager
async def open_asking(settings: Settings, folder: Path) -> AsyncIterator[Asking]:
    """Two documents of Anna's are searchable, and one that she may not read."""
    fake = FakeOpenAI((HEAD, *map(piece, SAID), piece("", "stop"), DONE))
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    models = folder / "models.yaml"
    models.write_text(MODELS.format(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    settings = settings.model_copy(update={"models_file": models})
    async with server, open_house(settings) as house, answering(settings):
        async with working("documents", open_documents, settings):
            anna, bob = await house.user("anna"), await house.user("bob")
            await publish(anna, "works", {"pump": PUMP, "roof": ROOF})
            await publish(bob, "secrets", {"pump": "The pump in hall 3 is secretly broken."})
            yield Asking(house, anna, fake, settings)


async def publish(owner: httpx.AsyncClient, collection: str, documents: dict[str, str]) -> None:
    """A collection of one's own, with documents that can be found."""
    made = await owner.post("/v1/collections", json={"collection_id": collection, "name": collection, "readers": []})
    assert made.is_success, made.text
    for name, text in documents.items():
        put = await owner.put(
            f"/v1/collections/{collection}/documents/{name}",
            content=text,
            headers={"content-type": "text/plain; charset=utf-8"},
            params={"wait": "searchable", "title": name.title()},
        )
        assert put.is_success, put.text


async def ask(asking: Asking, where: str, question: str) -> str:
    """Asks, and waits for the end of the answer."""
    body = {"question": question, "parameters": {"temperature": 0.1, "stop": [STOP]}}
    asked = await asking.anna.post(f"/v1/conversations/{where}/turns", json=body)
    assert asked.status_code == 202, asked.text
    turn_id = str(asked.json()["turn_id"])
    assert joined(await follow(asking.anna, turn_id)) == SAYS
    return turn_id
