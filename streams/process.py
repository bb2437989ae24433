"""The process around a worker: it waits for its servers and says so, works, and stops in order.

A worker's entry point is one line: `sys.exit(run("documents", open_documents))`, where `open_documents(tools)` is an
async context manager that opens what the steps need and yields a `Pipeline`.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import structlog
import uvloop

from infra import logs
from infra.garbage import collect_seldom
from infra.health import Health, serve_health
from infra.kafka.publisher import Publisher
from infra.metrics import new_registry
from infra.objects import Objects
from infra.registry.client import RegistryClient
from infra.settings import Settings, read_settings
from infra.waiting import end
from schemas.codec import Codec
from schemas.errors import Invalid
from streams.app import Open, Tools, Worker
from streams.dead_letters import EX_CONFIG
from streams.lag import EndOffsets
from streams.topic_guard import guard
from topics.catalogue import DEAD_LETTERS, OURS

T = TypeVar("T")
log = structlog.get_logger()
STOP_SECONDS = 15  # what was opened is closed in less: a second cancellation would break that off


def run(name: str, open_pipeline: Open) -> int:
    """Runs a worker until SIGTERM or SIGINT; exit code 0, 1 (crash), 70 (no progress) or 78 (a person must look)."""
    logs.configure(name)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # Faust's consumer thread makes a loop of its own
    try:
        settings = read_settings()
    except Invalid as exc:
        log.error("cannot start", reason=str(exc))
        return EX_CONFIG
    return asyncio.run(serve(name, open_pipeline, settings))


async def serve(name: str, open_pipeline: Open, settings: Settings) -> int:
    """As `run`, within a running loop."""
    stop = _stop_signals()
    health = Health(new_registry())
    health.missing("start", "starting")
    async with AsyncExitStack() as stack:
        if settings.health_port:
            await stack.enter_async_context(serve_health(health, settings.health_host, settings.health_port))
        opening = stack.enter_async_context(open_worker(name, open_pipeline, settings, health))
        try:
            worker = await _unless(stop, opening)
        except Invalid as exc:
            log.error("cannot start", reason=str(exc))
            return EX_CONFIG
        collect_seldom()
        return 0 if worker is None else await worker.run(stop)


@asynccontextmanager
async def open_worker(name: str, open_pipeline: Open, settings: Settings, health: Health) -> AsyncIterator[Worker]:
    """Waits for every server that the worker needs, and says for which; raises Invalid when a topic is another one."""
    async with AsyncExitStack() as stack:
        registry = RegistryClient(settings)
        stack.push_async_callback(registry.close)
        health.missing("start", "the schema registry, for the ids of what it writes")
        await registry.load((*(topic for topic in OURS if name in topic.writers), DEAD_LETTERS))
        codec = Codec(registry)
        health.missing("start", "Kafka")
        publisher = await stack.enter_async_context(Publisher.open(settings, codec))
        tools = Tools(settings, codec, publisher, Objects.open(settings), health)
        health.missing("start", "the servers that its steps use")
        pipeline = await stack.enter_async_context(open_pipeline(tools))
        health.missing("start", "its topics on Kafka")
        await guard(settings, name, [step.topic for step in pipeline.steps], pipeline.db)
        ends = await stack.enter_async_context(EndOffsets.open(settings, settings.kafka_name(name)))
        health.missing("start", "its partitions")
        yield Worker.of(name, pipeline, tools, ends)


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _unless(stop: asyncio.Event, opening: Awaitable[T]) -> T | None:
    """The result, or None when the process is told to stop before."""
    work, stopped = asyncio.ensure_future(opening), asyncio.create_task(stop.wait())
    await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if work.done():
        return work.result()
    await end([work], again_seconds=STOP_SECONDS)
    return None
