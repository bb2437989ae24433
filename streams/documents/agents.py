"""The worker `documents`: accepted documents become passages that can be found."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog

from infra.opensearch.passages import PassageIndex
from infra.postgres.pool import Pool, connection, open_pool
from infra.triton.embedder import Embedder
from infra.waiting import end
from schemas.documents import DocumentAccepted, DocumentWithdrawn
from schemas.errors import Invalid
from streams import app
from streams.documents.index_document import Tools, fail_document, index_document, tell_waiting
from streams.documents.parse import Parser
from streams.documents.reconcile import run_reconcile
from streams.documents.restore import Restorer
from streams.documents.rows import DocumentRows
from streams.documents.split import Splitter
from streams.documents.sweep import Sweeper
from streams.documents.withdraw_document import fail_withdrawal, withdraw_document
from streams.step import Step
from topics.catalogue import DOCUMENTS

POOL = 12
log = structlog.get_logger()


@asynccontextmanager
async def open_documents(tools: app.Tools) -> AsyncIterator[app.Pipeline]:
    """Opens what indexing needs, and sweeps beside it."""
    settings, limits = tools.settings, tools.settings.limits
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(settings, "documents", size=POOL))
        number = await serving_index(pool)
        index = await stack.enter_async_context(PassageIndex.open(settings, number))
        parser = await stack.enter_async_context(Parser.open(settings))
        embedder = await stack.enter_async_context(Embedder.open(settings, at_once=limits.embed_requests_ingest))
        rows = DocumentRows(pool, number)
        needs = Tools(rows, tools.objects, parser, Splitter.read(settings.embedder_tokenizer), embedder, index)
        sweeper = Sweeper(limits, pool, rows, index, tools.objects, tools.publisher)
        beside = [
            asyncio.create_task(sweeper.run()),
            asyncio.create_task(run_reconcile(index, pool, limits.reconcile_seconds)),
            asyncio.create_task(Restorer(tools, needs, pool).run()),
        ]
        stack.push_async_callback(end, beside)
        for task in beside:
            task.add_done_callback(_say)
        yield app.Pipeline(pipeline(needs, asyncio.Semaphore(limits.running_documents)), pool)


def pipeline(tools: Tools, running: asyncio.Semaphore) -> tuple[Step[DocumentAccepted], Step[DocumentWithdrawn]]:
    """The table of contents. A withdrawal needs no running slot: no backlog holds it up."""
    rows, index = tools.rows, tools.index
    return (
        Step(
            DOCUMENTS,
            DocumentAccepted,
            partial(index_document, tools=tools),
            failed=partial(fail_document, tools=tools),
            waiting=partial(tell_waiting, tools=tools),
            running=running,
        ),
        Step(
            DOCUMENTS,
            DocumentWithdrawn,
            partial(withdraw_document, rows=rows, index=index),
            failed=partial(fail_withdrawal, rows=rows),
        ),
    )


async def serving_index(pool: Pool) -> int:
    """The index that questions go to; raises Invalid when the database was not provisioned."""
    async with connection(pool) as db:
        row = await (await db.execute("select index from state.serving_index")).fetchone()
    if row is None:
        raise Invalid("state.serving_index has no row: the database was not provisioned by this program")
    return int(row[0])


def _say(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (cause := task.exception()) is not None:
        log.error("nobody sweeps or restores any more until the worker starts anew", exc_info=cause)
