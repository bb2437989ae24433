"""The worker `inboxes`: what each outside system says becomes ours, or is told why not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from infra.inboxes import Inbox, read_inboxes
from infra.postgres.freshness import Freshness
from infra.postgres.pool import open_pool
from infra.waiting import until_available
from schemas.documents import DocumentPublished, DocumentRetracted
from streams.app import Pipeline, Tools
from streams.inboxes.admit import Needs, admit_published, admit_retracted, refuse
from streams.inboxes.collections import Collections
from streams.step import Step

POOL = 6
RUNNING = 64
UNFINISHED = timedelta(days=1)  # no upload over HTTP takes longer


@asynccontextmanager
async def open_inboxes(tools: Tools) -> AsyncIterator[Pipeline]:
    """Opens what admission needs; raises Invalid when `inboxes.yaml` cannot be read."""
    inboxes = read_inboxes(tools.settings)
    await until_available("objects", lambda: tools.objects.forget_uploads(UNFINISHED))
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(open_pool(tools.settings, "documents", size=POOL))
        freshness = await stack.enter_async_context(Freshness.open(tools.settings, "documents"))
        needs = Needs(db, tools.objects, Collections(tools.settings, db, freshness))
        running = asyncio.Semaphore(RUNNING)
        yield Pipeline([step for inbox in inboxes for step in steps(inbox, needs, running)], db)


def steps(inbox: Inbox, needs: Needs, running: asyncio.Semaphore) -> tuple[Step[Any], ...]:
    """The table of contents of one inbox. A retraction needs no running slot: no backlog holds it up."""
    failed = refuse
    return (
        Step(
            inbox.topic,
            DocumentPublished,
            partial(admit_published, inbox=inbox, needs=needs),
            failed=failed,
            running=running,
        ),
        Step(inbox.topic, DocumentRetracted, partial(admit_retracted, inbox=inbox, needs=needs), failed=failed),
    )
