"""documents -> document-status: make one version's passages the live ones."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy import float32
from numpy.typing import NDArray

from infra.documents import Unfit
from infra.kafka.records import NOTHING, Outputs, Received
from infra.objects import Objects
from infra.opensearch.passages import IndexedPassage, PassageIndex
from infra.triton.embedder import Embedder
from schemas.documents import DocumentAccepted
from schemas.errors import Invalid, Unavailable
from streams.documents.parse import Parser
from streams.documents.receipts import failure, receipt, told
from streams.documents.rows import DocumentRows
from streams.documents.split import Passage, Splitter
from streams.documents.sweep import sweep
from streams.documents.version import Key

TOGETHER = 16  # passages of one document that are embedded before another document has its turn
LONG_CHARACTERS = 20_000  # a text over this is split beside the loop
READ_AT_ONCE = 2  # documents that are read, parsed and split at a time, because each is in memory whole


@dataclass(frozen=True)
class Tools:
    """What indexing needs."""

    rows: DocumentRows
    objects: Objects
    parser: Parser
    splitter: Splitter
    embedder: Embedder
    index: PassageIndex
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READ_AT_ONCE))


async def index_document(received: Received[DocumentAccepted], tools: Tools) -> Outputs:
    """Parse, split, embed, put, flip, receipt. Whatever was begun is finished, and nothing goes back."""
    rows, key, version = tools.rows, Key.of(tools.rows.index, received), received.offset
    row = await rows.begin(received)
    if row.last_offset != version or row.phase != "writing":
        await sweep(await rows.leftovers(key), rows, tools.index)
        return [receipt(received, rows.index, row)]
    tools.parser.check_size(received.event.content.size)
    async with tools.reading:
        title, passages = await _passages(received.event, tools)
    if not await rows.count(key, version, len(passages)):
        return NOTHING
    await tools.index.put(await _embedded(received, title, passages, tools.embedder))
    flipped = await rows.flip(key, version)
    if flipped is None:
        await _give_up(key, version, len(passages), tools)
        return NOTHING
    row, old = flipped
    await sweep(old, rows, tools.index)
    return [receipt(received, rows.index, row)]


async def remake(received: Received[DocumentAccepted], tools: Tools) -> None:
    """Puts the passages of the live version where the index lost them, and changes nothing else; raises Unfit."""
    key, version = Key.of(tools.rows.index, received), received.offset
    async with tools.reading:
        title, passages = await _passages(received.event, tools)
    if await tools.rows.recount(key, version, len(passages)):
        await tools.index.put(await _embedded(received, title, passages, tools.embedder))
        await _give_up(key, version, len(passages), tools)


async def _passages(event: DocumentAccepted, tools: Tools) -> tuple[str | None, list[Passage]]:
    """The title that is shown, and the passages; raises Unfit."""
    try:
        content = await tools.objects.read(event.content)
    except Invalid as exc:
        raise Unfit("index", "object-missing", f"{exc}: upload it again, and publish it again") from exc
    parsed = await tools.parser.parse(content, event.media_type, event.content_sha256)
    title = event.title or parsed.title
    if len(parsed.text) > LONG_CHARACTERS:
        return title, await asyncio.to_thread(tools.splitter.split, parsed, title)
    return title, tools.splitter.split(parsed, title)


async def _embedded(
    received: Received[DocumentAccepted], title: str | None, passages: list[Passage], embedder: Embedder
) -> list[IndexedPassage]:
    texts = [passage.embedded for passage in passages]
    vectors: list[NDArray[float32]] = []
    for first in range(0, len(texts), TOGETHER):
        vectors.extend(await embedder.embed(texts[first : first + TOGETHER], priority="ingest"))
    event = received.event
    return [
        IndexedPassage(
            collection_id=event.collection_id,
            document_id=event.document_id,
            version=received.offset,
            passage=passage.number,
            title=title,
            heading=passage.heading,
            text=passage.text,
            page=passage.page,
            start=passage.start,
            end=passage.end,
            readers=event.readers,
            embedding=np.ascontiguousarray(vector),
        )
        for passage, vector in zip(passages, vectors, strict=True)
    ]


async def _give_up(key: Key, version: int, passages: int, tools: Tools) -> None:
    """Somebody else flipped, perhaps long ago: what we put is deleted unless it is, or may become, what readers see."""
    if not (await tools.rows.look(key)).holds(version):
        await tools.index.delete(key.collection_id, key.document_id, version, passages)


async def fail_document(received: Received[DocumentAccepted], error: Exception, tools: Tools) -> Outputs:
    """documents -> document-status: this version will never be; the one before it stays live."""
    stage, code, reason = told(error)
    key = Key.of(tools.rows.index, received)
    if not await tools.rows.fail(key, received.offset, stage, code, reason):
        row = await tools.rows.look(key)
        return [receipt(received, key.index, row)] if row.last_offset == received.offset else NOTHING
    await sweep(await tools.rows.leftovers(key), tools.rows, tools.index)
    return [failure(received, stage, code, reason)]


async def tell_waiting(received: Received[DocumentAccepted], error: Unavailable, tools: Tools) -> None:
    """Its status says for which server it waits."""
    await tools.rows.waits(Key.of(tools.rows.index, received), received.offset, error.server)
