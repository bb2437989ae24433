"""A library for tests: the steps of the worker `documents`, called one by one on real servers, and a searcher."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from infra.kafka.publisher import Publisher
from infra.kafka.records import Received
from infra.objects import Objects
from infra.opensearch.passages import IndexedPassage, PassageIndex
from infra.postgres.pool import Pool, connection, open_pool
from infra.registry.client import RegistryClient
from infra.settings import Settings
from infra.triton.embedder import Embedder
from retrieval.search import Found, Question, Search
from schemas.access import CollectionCreated
from schemas.codec import Codec
from schemas.documents import DocumentAccepted, DocumentWithdrawn, Source
from schemas.event import Content, Event
from streams.documents.index_document import Tools, index_document
from streams.documents.parse import Parser
from streams.documents.rows import DocumentRows
from streams.documents.split import Splitter
from streams.documents.version import Key
from streams.documents.withdraw_document import withdraw_document
from streams.views.fold_access import fold_access
from streams.views.fold_documents import fold_document_status, fold_documents
from tests.kafka_reading import all_of
from topics.catalogue import ACCESS_CHANGES, DOCUMENT_STATUS, DOCUMENTS, OURS, Topic, document_key

NO_SOURCE = Source()


@dataclass
class Library:
    """One installation. Offsets grow with each record, so later records are newer versions."""

    settings: Settings
    pool: Pool
    views: Pool
    tools: Tools
    searching: Search
    publisher: Publisher
    codec: Codec
    offset: int = 0
    told: list[Event] = field(default_factory=list)

    @property
    def index(self) -> PassageIndex:
        """The index that is written and searched."""
        return self.tools.index

    def received(self, event: Event, topic: Topic = DOCUMENTS) -> Received[Any]:
        """A record with an event, newer than all before it."""
        self.offset += 1
        return Received(event, topic.name, 0, self.offset, b"k", event.occurred_at)

    def accepted(self, document_id: str, words: str, collection_id: str = "open", **more: Any) -> Received[Any]:
        """A newer version of a text."""
        given: dict[str, Any] = {"media_type": "text/plain", "publisher": "user:ann", "source": NO_SOURCE} | more
        given.setdefault("content", Content.of(words))
        event = DocumentAccepted(
            collection_id=collection_id,
            document_id=document_id,
            content_sha256=hashlib.sha256(words.encode()).hexdigest(),
            **given,
        )
        return self.received(event)

    def withdrawn(self, document_id: str, collection_id: str = "open", **more: Any) -> Received[Any]:
        """A wish to forget it."""
        given: dict[str, Any] = {"publisher": "user:ann", "source": NO_SOURCE} | more
        return self.received(DocumentWithdrawn(collection_id=collection_id, document_id=document_id, **given))

    async def collection(self, collection_id: str, owner: str = "ann", readers: tuple[str, ...] = ("public",)) -> None:
        """A collection that exists from now on."""
        created = CollectionCreated(collection_id=collection_id, name=collection_id, owner=owner, readers=list(readers))
        await self.fold(self.received(created, ACCESS_CHANGES))

    async def fold(self, *received: Received[Any]) -> None:
        """Lets the views know."""
        folds = {
            ACCESS_CHANGES.name: fold_access,
            DOCUMENTS.name: fold_documents,
            DOCUMENT_STATUS.name: fold_document_status,
        }
        async with connection(self.views) as db, db.transaction():
            for record in received:
                await folds[record.topic](db, [record])

    async def run(self, received: Received[Any], tools: Tools | None = None) -> list[Any]:
        """What the steps say to a record."""
        tools = tools or self.tools
        if isinstance(received.event, DocumentWithdrawn):
            outputs = await withdraw_document(received, tools.rows, tools.index)
        else:
            outputs = await index_document(received, tools)
        self.told += [output.event for output in outputs]
        return [output.event for output in outputs]

    async def run_until_flip(self, received: Received[Any]) -> None:
        """A worker that crashes right after the flip: nothing is swept, nothing is told."""
        key, version, tools = self.key(received.event.document_id), received.offset, self.tools
        await tools.rows.begin(received)
        assert await tools.rows.count(key, version, 1)
        await self.ghost(key.document_id, version, received.event.content.inline.decode())
        assert await tools.rows.flip(key, version) is not None

    async def ghost(self, document_id: str, version: int, text: str = "Ghosts glow.") -> None:
        """A passage in the index that no step put there."""
        vector = (await self.tools.embedder.embed([text]))[0]
        passage = IndexedPassage(
            collection_id="open",
            document_id=document_id,
            version=version,
            passage=0,
            title=None,
            heading=[],
            text=text,
            page=None,
            start=0,
            end=len(text),
            readers=None,
            embedding=vector,
        )
        await self.index.put([passage])

    async def publish(self, received: Received[Any]) -> list[Any]:
        """The views and the steps have a record."""
        await self.fold(received)
        return await self.run(received)

    async def search(self, text: str, user_id: str = "ann", *groups: str, **more: Any) -> Found:
        """What a user finds."""
        principals = {"public", f"user:{user_id}", *(f"group:{group}" for group in groups)}
        return await self.searching.search(Question(text=text, **({"limit": 8} | more)), user_id, principals)

    async def texts(self, text: str, user_id: str = "ann", *groups: str, **more: Any) -> set[str]:
        """The texts of the passages that a user finds."""
        return {found.hit.text for found in (await self.search(text, user_id, *groups, **more)).passages}

    async def versions(self, document_id: str, collection_id: str = "open") -> set[int]:
        """The versions that have passages in the index, whoever may see them; looks after a refresh."""
        await self.index._client.ask("POST", f"/{self.index.name}/_refresh", b"")
        pages = [page async for page in self.index.versions()]
        key = document_key(collection_id, document_id)
        return {v.version for page in pages for v in page if document_key(v.collection_id, v.document_id) == key}

    async def receipts(self, document_id: str) -> list[Any]:
        """What was published about a document on `document-status`."""
        topic, events = DOCUMENT_STATUS, []
        for record in await all_of(self.settings, topic):
            events.append(await self.codec.decode(topic.name, topic.events, record.value, dict(record.headers)))
        return [event for event in events if getattr(event, "document_id", None) == document_id]

    def key(self, document_id: str, collection_id: str = "open") -> Key:
        """The document in the index that is served."""
        return Key(self.index.number, collection_id, document_id)


@asynccontextmanager
async def open_library(settings: Settings) -> AsyncIterator[Library]:
    """A library with the open collection `open` of ann's."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(settings, "documents"))
        views = await stack.enter_async_context(open_pool(settings, "views", size=2))
        reading = await stack.enter_async_context(open_pool(settings, "api"))
        index = await stack.enter_async_context(PassageIndex.open(settings, 1))
        parser = await stack.enter_async_context(Parser.open(settings))
        embedder = await stack.enter_async_context(Embedder.open(settings))
        searching = await stack.enter_async_context(Search.open(settings, reading, embedder))
        splitter = Splitter.read(settings.embedder_tokenizer)
        tools = Tools(DocumentRows(pool, 1), Objects.open(settings), parser, splitter, embedder, index)
        registry = RegistryClient(settings)
        stack.push_async_callback(registry.close)
        await registry.load(OURS)
        codec = Codec(registry)
        publisher = await stack.enter_async_context(Publisher.open(settings, codec))
        library = Library(settings, pool, views, tools, searching, publisher, codec)
        await library.collection("open")
        yield library


def another_worker(tools: Tools, **changed: Any) -> Tools:
    """A second worker on the same servers; `changed` tools may pause."""
    return replace(tools, **changed)
