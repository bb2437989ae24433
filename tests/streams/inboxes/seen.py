"""What an outside system sees of what it published: receipts, states and passages that are found."""

import httpx

from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from schemas.event import Event
from tests.kafka_reading import all_of
from topics.catalogue import Topic


async def events(settings: Settings, topic: Topic) -> list[Event]:
    """Every event on a topic."""
    codec = Codec(RegistryClient(settings))
    return [
        await codec.decode(topic.name, topic.events, found.value, dict(found.headers))
        for found in await all_of(settings, topic)
    ]


async def state(admin: httpx.AsyncClient, document: str) -> str:
    """What HTTP says of a document in the handbook; of one that it does not know: unknown."""
    answer = await admin.get(f"/v1/collections/handbook/documents/{document}")
    return str(answer.json()["state"]) if answer.status_code == 200 else "unknown"


async def finds(admin: httpx.AsyncClient, words: str, document: str) -> bool:
    """Whether a search in the handbook finds a document."""
    answer = await admin.post("/v1/search", json={"query": words, "collections": ["handbook"], "limit": 20})
    return document in [passage["document_id"] for passage in answer.json()["passages"]]
