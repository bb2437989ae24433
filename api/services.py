"""What the routes stand on, opened once: the only place of the API that opens adapters."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from prometheus_client import Gauge

from api.accept import Accept
from api.caller import Caller
from api.keyring import Keyring
from api.rates import Rates
from api.stream.live import LiveAnswers
from api.tokens import Tokens
from api.turn_rows import TurnRows
from infra.health import Health
from infra.kafka.publisher import Publisher
from infra.objects import Objects
from infra.postgres.freshness import Freshness, until_fresh
from infra.postgres.pool import Pool, open_pool
from infra.providers.status import ModelStatuses
from infra.registry.client import RegistryClient
from infra.settings import Settings
from infra.triton.embedder import Embedder
from infra.waiting import end
from retrieval.search import Search
from schemas.codec import Codec
from schemas.errors import Unavailable
from topics.catalogue import ANSWERS_LIVE, OURS

POOL = 8


class Background:
    """What goes on after an answer was given, at most until the replica ends."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Background"]:
        """At the end whatever still runs is cancelled."""
        background = cls()
        try:
            yield background
        finally:
            await end(background._tasks)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs it beside everything else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(frozen=True)
class Services:
    """Open adapters. `db` is a pool of the role `api`: it sees nothing but through `api.auth.reading`."""

    settings: Settings
    health: Health
    codec: Codec
    publisher: Publisher
    objects: Objects
    db: Pool
    freshness: Freshness
    keyring: Keyring
    tokens: Tokens | None
    rates: Rates
    models: ModelStatuses
    accept: Accept
    turn_rows: TurnRows
    live: LiveAnswers
    search: Search
    embedder: Embedder
    background: Background


@asynccontextmanager
async def open_services(settings: Settings, health: Health) -> AsyncIterator[Services]:
    """Opens everything, in order; `health` says meanwhile what is waited for."""
    async with AsyncExitStack() as stack:
        objects = Objects.open(settings)
        models = await stack.enter_async_context(ModelStatuses.open(settings))
        with waiting(health, "registry", "looking up the schemas"):
            registry = RegistryClient(settings)
            stack.push_async_callback(registry.close)
            await registry.load(tuple(topic for topic in OURS if "api" in topic.writers))
            codec = Codec(registry)
        with waiting(health, "kafka", "connecting"):
            publisher = await stack.enter_async_context(Publisher.open(settings, codec))
        with waiting(health, "postgres", "connecting"):
            db = await stack.enter_async_context(open_pool(settings, "api", size=POOL))
            freshness = await stack.enter_async_context(Freshness.open(settings, "api"))
        with waiting(health, "views", "folding the rights that the log holds"):
            await until_fresh(settings, freshness)
        keyring, rates = Keyring(db, freshness, settings.limits), Rates(db)
        tokens = await stack.enter_async_context(Tokens.open(settings, db, freshness, publisher))

        async def is_open(caller: Caller) -> bool:
            return await (tokens if tokens and caller.subject is not None else keyring).is_open(caller)

        accept = await stack.enter_async_context(Accept.open(db, publisher, settings.limits))
        with waiting(health, "answers-live", "reading the answers that run"):
            live = await stack.enter_async_context(LiveAnswers.open(settings, codec, objects, db, is_open))
        lag = Gauge("turnlog_lag", "Records that are not read yet", ["topic"], registry=health.registry)
        lag.labels(ANSWERS_LIVE.name).set_function(lambda: live.lag)
        at_once = settings.limits.embed_requests_ingest  # of texts sent to be embedded: a search never waits for them
        embedder = await stack.enter_async_context(Embedder.open(settings, at_once=at_once))
        search = await stack.enter_async_context(Search.open(settings, db))
        yield Services(
            settings,
            health,
            codec,
            publisher,
            objects,
            db,
            freshness,
            keyring,
            tokens,
            rates,
            models,
            accept,
            TurnRows(db),
            live,
            search,
            embedder,
            await stack.enter_async_context(Background.open()),
        )


@contextmanager
def waiting(health: Health, server: str, why: str) -> Iterator[None]:
    """Says what is waited for while it is; a failure leaves it said."""
    health.missing(server, why)
    yield
    health.there(server)


async def opened(request: Request) -> Services:
    """The services, for a route; raises Unavailable naming what they wait for."""
    found: Services | None = request.app.state.services
    if found is None:
        health: Health = request.app.state.health
        server, why = list({"api": "starting", **health.waits_for}.items())[-1]
        raise Unavailable(server, why)
    if found.freshness.went_back:
        raise Unavailable("views", "folding again the rights that they had")
    return found


Opened = Annotated[Services, Depends(opened)]
