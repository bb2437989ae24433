"""The views worker: `python -m streams.views`."""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

import structlog
import uvloop

from infra import logs
from infra.health import Health, serve_health
from infra.kafka.publisher import Publisher
from infra.metrics import new_registry
from infra.objects import Objects
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from schemas.errors import Invalid
from streams.dead_letters import EX_CONFIG, Burial, StopWorker
from streams.metrics import WorkerMetrics
from streams.views.decoding import Decoding
from streams.views.fold_log import LogFolder
from streams.views.folds import FOLDS
from streams.views.progress import Progress
from topics.catalogue import DEAD_LETTERS

log = structlog.get_logger()


async def serve(settings: Settings) -> int:
    """Folds until SIGTERM or SIGINT; gives the exit code: 0, or 78 when a person must look."""
    folding = asyncio.create_task(fold(settings))
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, folding.cancel)
    try:
        await folding
    except asyncio.CancelledError:
        log.info("stopped")
    except (Invalid, StopWorker) as exc:
        log.error("stopped for good: a person must look", reason=str(exc))
        return EX_CONFIG
    return 0


async def fold(settings: Settings) -> None:
    """Opens what the folds need, and folds for ever."""
    health = Health(new_registry())
    progress = Progress(health)
    async with AsyncExitStack() as stack:
        if settings.health_port:
            await stack.enter_async_context(serve_health(health, settings.health_host, settings.health_port))
        registry = RegistryClient(settings)
        stack.push_async_callback(registry.close)
        await registry.load((DEAD_LETTERS,))
        codec = Codec(registry)
        publisher = await stack.enter_async_context(Publisher.open(settings, codec))
        topics = tuple(fold.topic for fold in FOLDS)
        ours = frozenset(topic.name for topic in topics if topic.ours)
        metrics = WorkerMetrics(new_registry())
        burial = Burial(settings, "views", publisher, Objects.open(settings), metrics, ours)
        await LogFolder(settings, FOLDS, Decoding(topics, codec, burial), progress).run()


if __name__ == "__main__":
    logs.configure("views")
    sys.exit(uvloop.run(serve(Settings())))
