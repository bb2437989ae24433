"""Hybrid search through `/v1/search` beside the bare query: the same embedding, the same query, nothing around."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from benchmarks.documents import WORDS, inbox, passage
from benchmarks.figures import percentile, spread
from benchmarks.http import Connection
from benchmarks.target import Target
from infra.opensearch.client import Client
from infra.opensearch.passages import PassageIndex
from infra.triton.embedder import Embedder
from retrieval.query import Readable, passages_query

DOCUMENTS, SEARCHES, LIMIT = 300, 150, 8

Ask = Callable[[str], Awaitable[None]]


async def measure(target: Target, clients: int) -> dict[str, Any]:
    """p50 and p99 of both on the same collection, asked in turns; each question is a new one."""
    async with inbox(target) as box:
        for _ in range(DOCUMENTS):
            await box.publish(passage(45))
        await box.all_indexed(300)
        async with Client.open(target.settings) as client, Embedder.open(target.settings) as embedder:
            index = PassageIndex(client, target.settings, 1)
            limits = target.settings.limits

            async def bare(question: str) -> None:
                vector = (await embedder.embed([question]))[0]
                readable = Readable([box.collection], ["user:admin", "public"])
                size = LIMIT * limits.passages_fetched
                await index.search(passages_query(question, vector, readable, size, limits.search_depth))

            connections = [await Connection.open(target.api_url) for _ in range(clients)]
            routes = [_route(target, box.collection, connection) for connection in connections]
            ours: list[float] = []
            theirs: list[float] = []
            await _times([bare] * clients, 20)
            await _times(routes, 20)
            for _ in range(4):
                theirs += await _times([bare] * clients, SEARCHES // 4)
                ours += await _times(routes, SEARCHES // 4)
    ratio = percentile(ours, 0.5) / percentile(theirs, 0.5)
    quiet = {f"bare_{name}": value for name, value in spread(theirs).items()}
    return {"clients": clients, **spread(ours), **quiet, "ratio_p50": round(ratio, 2)}


def _route(target: Target, collection: str, connection: Connection) -> Ask:
    async def ask(question: str) -> None:
        body = orjson.dumps({"query": question, "collections": [collection], "limit": LIMIT})
        answer = await connection.request("POST", "/v1/search", target.headers, body)
        if not answer.json()["passages"]:
            raise RuntimeError("a search that found nothing")

    return ask


async def _times(askers: list[Ask], each: int) -> list[float]:
    took: list[float] = []

    async def one(ask: Ask) -> None:
        for _ in range(each // len(askers) + 1):
            question = " ".join(random.sample(WORDS, 5))
            started = time.perf_counter()
            await ask(question)
            took.append(time.perf_counter() - started)

    await asyncio.gather(*(one(ask) for ask in askers))
    return took
