"""From publish to searchable through the inbox, and ingest beside the bare embedder."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.figures import percentile, spread
from benchmarks.target import Target
from infra.registry.client import RegistryClient
from infra.triton.embedder import Embedder
from schemas.codec import Codec
from schemas.documents import DocumentFailed, DocumentIndexed, DocumentPublished
from topics.catalogue import DOCUMENT_STATUS, DOCUMENTS_LOCAL

WORDS = [
    # each is one token of the embedder
    "river", "stone", "lantern", "harbour", "copper", "winter", "signal", "orchard", "meadow", "granite",
    "timber", "compass", "ribbon", "marble", "voltage", "engine", "survey", "pattern", "heritage", "cooling",
    "bridge", "station", "gravel", "whistle", "feather", "saddle", "thunder", "canvas", "pepper", "island",
]  # fmt: skip
LOOKED_FOR = 20
BARE = 200


def passage(words: int) -> str:
    """A text that nobody wrote before, so that no cache helps: most of these words are a token each."""
    return " ".join([uuid.uuid4().hex[:8], *random.choices(WORDS, k=words)]) + "."


class Inbox:
    """A publisher on the open inbox that also reads the receipts."""

    def __init__(self, target: Target, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, codec: Codec) -> None:
        self._target, self._producer, self._consumer, self._codec = target, producer, consumer, codec
        self.collection = f"bench-{uuid.uuid4().hex[:8]}"
        self.sent: dict[str, float] = {}
        self.indexed: dict[str, float] = {}
        self.passages = 0

    async def publish(self, text: str, title: str | None = None) -> str:
        """Sends a document; its clock starts before the broker has it."""
        document_id = uuid.uuid4().hex
        content = text.encode()
        event = DocumentPublished(collection_id=self.collection, document_id=document_id, content=content, title=title)
        encoded = self._codec.encode(DOCUMENTS_LOCAL.name, event)
        self.sent[document_id] = time.perf_counter()
        name = self._target.settings.kafka_name(DOCUMENTS_LOCAL)
        await self._producer.send(name, encoded.value, document_id.encode(), headers=encoded.headers)
        return document_id

    async def read_receipts(self) -> None:
        """Notes when each of our documents was searchable; runs until cancelled."""
        async for record in self._consumer:
            headers = dict(record.headers)
            event = await self._codec.decode(DOCUMENT_STATUS.name, DOCUMENT_STATUS.events, record.value, headers)
            if isinstance(event, DocumentFailed) and event.document_id in self.sent:
                raise RuntimeError(event.reason)
            if isinstance(event, DocumentIndexed) and event.document_id in self.sent:
                self.passages += event.passages if event.document_id not in self.indexed else 0
                self.indexed.setdefault(event.document_id, time.perf_counter())

    async def all_indexed(self, within_seconds: float) -> None:
        """Waits for every receipt; raises TimeoutError."""
        async with asyncio.timeout(within_seconds):
            while len(self.indexed) < len(self.sent):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def inbox(target: Target) -> AsyncIterator[Inbox]:
    """An open inbox with a collection of its own."""
    registry = RegistryClient(target.settings)
    await registry.load((DOCUMENTS_LOCAL,))
    broker = target.settings.kafka_bootstrap
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await producer.start()
    await consumer.start()
    name = target.settings.kafka_name(DOCUMENT_STATUS)
    parts = [TopicPartition(name, number) for number in range(DOCUMENT_STATUS.partitions)]
    consumer.assign(parts)
    await consumer.seek_to_end(*parts)
    made = Inbox(target, producer, consumer, Codec(registry))
    body = {"collection_id": made.collection, "name": "benchmark", "readers": []}
    await target.ask("POST", "/v1/collections", body)
    receipts = asyncio.create_task(made.read_receipts())
    try:
        yield made
    finally:
        receipts.cancel()
        await asyncio.gather(receipts, return_exceptions=True)
        await asyncio.gather(producer.stop(), consumer.stop(), registry.close())


async def publish_to_searchable(target: Target, per_second: float, seconds: float) -> dict[str, Any]:
    """An open loop of documents of one passage (at most 60 tokens each), from the send to the receipt.

    A receipt must mean that a search finds the document: some of each run are looked for the moment theirs comes.
    """
    async with inbox(target) as box:
        due = time.perf_counter()
        end, every = due + seconds, max(1, int(per_second * seconds / LOOKED_FOR))
        looking: list[asyncio.Task[bool]] = []
        while due < end:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            text = passage(45)
            document_id = await box.publish(text)
            if len(box.sent) % every == 0:
                looking.append(asyncio.create_task(_is_found(target, box, document_id, text.split()[0])))
            due += 1 / per_second
        behind = len(box.sent) - len(box.indexed)
        await box.all_indexed(120)
        found = await asyncio.gather(*looking)
    waits = [box.indexed[d] - box.sent[d] for d in box.sent]
    row = {"documents_per_s": per_second, **spread(waits), "waiting_at_the_end": behind}
    return row | {"found_at_receipt": f"{sum(found)} of {len(found)}"}


async def _is_found(target: Target, box: Inbox, document_id: str, word: str) -> bool:
    """Whether the first search after the receipt finds the one document with this word."""
    while document_id not in box.indexed:
        await asyncio.sleep(0.01)
    body = {"query": word, "collections": [box.collection], "by": "words"}
    found = await target.ask("POST", "/v1/search", body)
    return [passage["document_id"] for passage in found["passages"]] == [document_id]


async def ingest(target: Target, documents: int, passages_each: int) -> dict[str, Any]:
    """Passages a second of a backlog, beside the embedder alone on texts of the same kind."""
    async with Embedder.open(target.settings) as embedder:
        texts = [passage(180) for _ in range(BARE)]
        started = time.perf_counter()
        await _embed_two_at_a_time(embedder, texts)
        bare = BARE / (time.perf_counter() - started)
    async with inbox(target) as box:
        started = time.perf_counter()
        for _ in range(documents):
            await box.publish("\n\n".join(passage(180) for _ in range(passages_each)))
        await box.all_indexed(600)
        ours = box.passages / (max(box.indexed.values()) - started)
        passages = box.passages
    return {
        "documents": documents,
        "passages": passages,
        "passages_per_s": round(ours, 1),
        "bare_per_s": round(bare, 1),
        "ratio": round(ours / bare, 3),
    }


async def _embed_two_at_a_time(embedder: Embedder, texts: list[str]) -> None:
    waiting = iter(texts)

    async def one() -> None:
        for text in waiting:
            await embedder.embed([text], "ingest")

    await asyncio.gather(one(), one())


async def questions_during_backfill(target: Target, documents: int) -> dict[str, Any]:
    """How long a question's embedding takes while a backlog is indexed, beside the same on an idle stack."""
    async with Embedder.open(target.settings) as embedder:
        alone = await _ask(embedder, 60)
        async with inbox(target) as box:
            for _ in range(documents):
                await box.publish(passage(180))
            during = await _ask(embedder, 100)
            left = len(box.sent) - len(box.indexed)
            await box.all_indexed(600)
    quiet = percentile(alone, 0.99)
    return {**spread(during), "alone_p99_ms": round(quiet * 1000, 1), "still_to_index_after": left}


async def _ask(embedder: Embedder, times: int) -> list[float]:
    took = []
    for _ in range(times):
        started = time.perf_counter()
        await embedder.embed([passage(8)])
        took.append(time.perf_counter() - started)
        await asyncio.sleep(0.05)
    return took
