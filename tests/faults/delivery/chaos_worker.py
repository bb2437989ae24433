"""A worker whose work is to take time: it writes down what it starts and ends, and says so in a receipt.

How long it is to take stands in a withdrawal's `publisher`: "work SECONDS", or "until FILE": until that file is there.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from faust.types import TP

from infra.kafka.records import NOTHING, Output, Outputs, Received
from infra.postgres.pool import open_pool
from schemas.documents import DocumentAccepted, DocumentPublished, DocumentRemoved, DocumentRetracted, DocumentWithdrawn
from streams.app import Pipeline, Tools
from streams.process import run
from streams.step import Step
from streams.strict_consumer import StrictConsumer, StrictTransport
from topics.catalogue import DOCUMENT_STATUS, DOCUMENTS, DOCUMENTS_LOCAL

NAME = os.environ.get("CHAOS_NAME", "")


def note(what: str, received: Received[Any]) -> None:
    """One line, appended at once."""
    line = {
        "at": time.time(),
        "worker": NAME,
        "what": what,
        "id": received.event.document_id,
        "key": received.key.decode(errors="replace"),
        "partition": received.partition,
        "offset": received.offset,
        "topic": received.topic,
    }
    with Path(os.environ["CHAOS_LOG"]).open("a") as log:
        log.write(json.dumps(line) + "\n")


async def work(received: Received[DocumentWithdrawn]) -> Outputs:
    """Takes the time that the event asks for, then gives a receipt."""
    note("start", received)
    try:
        await as_long_as(*received.event.publisher.split()[:2])
    except asyncio.CancelledError:
        note("cancel", received)
        raise
    note("end", received)
    now = int(time.time() * 1000)
    event = DocumentRemoved(
        collection_id=received.event.collection_id, document_id=received.event.document_id, version=received.offset,
        hidden_at=now, index_at=now,
    )  # fmt: skip
    return [Output(DOCUMENT_STATUS, received.key.decode(), event, received.partition)]


async def as_long_as(what: str, how_long: str) -> None:
    """What an event asks for."""
    if what == "work":
        await asyncio.sleep(float(how_long))
    else:
        while not Path(how_long).exists():
            await asyncio.sleep(0.05)


async def admit(received: Received[DocumentPublished]) -> Outputs:
    """Of an inbox: written down, nothing more."""
    note("end", received)
    return NOTHING


async def unexpected(received: Received[Any]) -> Outputs:
    """No test sends these."""
    raise NotImplementedError(received.event.document_id)


@asynccontextmanager
async def open_chaos(tools: Tools) -> AsyncIterator[Pipeline]:
    """Steps for `documents`, which is ours, and for an inbox."""
    running = asyncio.Semaphore(int(os.environ.get("CHAOS_RUNNING", "64")))
    async with open_pool(tools.settings, "documents", size=2) as db:
        steps: list[Step[Any]] = [
            Step(DOCUMENTS, DocumentWithdrawn, work, running=running),
            Step(DOCUMENTS, DocumentAccepted, unexpected),
            Step(DOCUMENTS_LOCAL, DocumentPublished, admit),
            Step(DOCUMENTS_LOCAL, DocumentRetracted, unexpected),
        ]
        yield Pipeline(steps, db)


class Asleep(StrictConsumer):
    """A consumer that lives and beats its heart, and fetches nothing: seen in the wild after broker trouble."""

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        await asyncio.sleep(3600)
        return await super()._getmany(active_partitions, timeout)


class Mute(Asleep):
    """As that, and it does not say where it is, either."""

    async def position(self, tp: TP) -> int | None:
        await asyncio.sleep(3600)
        return await super().position(tp)


class Outside(StrictConsumer):
    """A consumer that never joins its group."""

    async def subscribe(self, topics: Any) -> None:
        """Nothing."""


if __name__ == "__main__":
    if consumer := os.environ.get("CHAOS_CONSUMER"):
        StrictTransport.Consumer = {"asleep": Asleep, "mute": Mute, "outside": Outside}[consumer]
    sys.exit(run("documents", open_chaos))
