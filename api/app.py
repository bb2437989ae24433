"""The API: its routes, and the life of what they stand on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from api import problems
from api.edge import add_edge
from api.limits import Limited, RequestMetrics
from api.routes import (
    audit,
    collections,
    conversations,
    documents,
    groups,
    keys,
    me,
    models,
    objects,
    openai,
    search,
    turns,
    users,
)
from api.services import Services, open_services
from infra.garbage import collect_seldom
from infra.health import Health
from infra.metrics import exposition, new_registry
from infra.settings import Settings
from infra.waiting import end

ROUTERS = (
    turns.router, openai.router,  # asked most: each request looks for its route from the first one on
    me.router, keys.router, users.router, groups.router, collections.router, models.router, conversations.router,
    search.router, documents.router, objects.router, audit.router,
)  # fmt: skip
WATCH_SECONDS = 1
STOP_SECONDS = 15  # what was opened is closed in less: a second cancellation would break that off
ABOUT = """Chat and retrieval as one event pipeline. Say who you are with `Authorization: Bearer tl_...`.

A write answers with `x-turnlog-position`; a read that sends it back as `x-turnlog-after` (or `?after=`) sees that
write, or says 202 when it is not folded within 2 s. Every error is a problem (RFC 9457)."""
log = structlog.get_logger()


def create_app(settings: Settings, failed: Callable[[BaseException], None] | None = None) -> FastAPI:
    """The app. It serves at once and is ready when its servers are; `failed` hears of a start that cannot succeed."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        health.missing("api", "starting")
        opening = asyncio.create_task(_serve(app, settings, health))
        opening.add_done_callback(lambda task: _tell(task, failed))
        try:
            yield
        finally:
            await end([opening], again_seconds=STOP_SECONDS)
            if failed is None and not opening.cancelled():
                opening.result()  # nobody was told

    health = Health(new_registry())
    app = FastAPI(
        title="Turnlog",
        version="0.1.0",
        lifespan=lifespan,
        description=ABOUT,
        responses={422: problems.DESCRIBED, "default": problems.DESCRIBED},
    )
    app.state.health, app.state.services = health, None
    app.add_middleware(Limited, settings.limits, RequestMetrics(health.registry))
    add_edge(app, settings)
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    _add_health(app, health)
    return app


async def _serve(app: FastAPI, settings: Settings, health: Health) -> None:
    async with open_services(settings, health) as services:
        app.state.services = services
        collect_seldom()
        health.there("api")
        log.info("ready")
        try:
            await _until_dead(services)
        finally:
            app.state.services = None
            health.missing("api", "stopping")


async def _until_dead(services: Services) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        if not services.publisher.alive:
            raise RuntimeError("the producer has ended: only a new process can send again")


def _tell(task: "asyncio.Task[None]", failed: Callable[[BaseException], None] | None) -> None:
    if not task.cancelled() and (cause := task.exception()) is not None and failed is not None:
        failed(cause)


def _add_health(app: FastAPI, health: Health) -> None:
    @app.get("/live", include_in_schema=False)
    async def live() -> Response:
        return PlainTextResponse("alive\n")

    @app.get("/ready", include_in_schema=False)
    async def ready(request: Request) -> Response:
        services: Services | None = request.app.state.services
        missing = health.waits_for
        if services is not None and services.freshness.went_back:
            missing["views"] = "folding again the rights that they had"
        if services is not None:
            missing |= dict.fromkeys(services.live.missing, "it does not answer")
        return JSONResponse({"ready": not missing, "waits_for": missing}, 503 if missing else 200)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        body, kind = exposition(health.registry)
        return Response(body, media_type=kind)
