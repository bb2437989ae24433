"""The views worker: `python -m streams.views`."""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

import structlog
import uvloop

from infra import logs
from infra.garbage import collect_seldom
from infra.health import Health, serve_health
from infra.metrics import new_registry
from infra.settings import Settings, read_settings
from schemas.errors import Invalid
from streams.dead_letters import EX_CONFIG, StopWorker
from streams.views.worker import open_folder
from streams.watchdog import EX_SOFTWARE, Stalled

log = structlog.get_logger()


async def serve(settings: Settings) -> int:
    """Folds until SIGTERM or SIGINT; gives the exit code: 0, 70 (no progress), or 78 when a person must look."""
    folding = asyncio.create_task(_fold(settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, folding.cancel)
    try:
        await folding
    except asyncio.CancelledError:
        log.info("stopped")
    except (Invalid, StopWorker) as exc:
        log.error("stopped for good: a person must look", reason=str(exc), exc_info=exc.__cause__)
        return EX_CONFIG
    except Stalled as exc:
        log.error("no progress", reason=str(exc))
        return EX_SOFTWARE
    return 0


async def _fold(settings: Settings) -> None:
    health = Health(new_registry())
    async with AsyncExitStack() as stack:
        if settings.health_port:
            await stack.enter_async_context(serve_health(health, settings.health_host, settings.health_port))
        folder = await stack.enter_async_context(open_folder(settings, health))
        collect_seldom()
        await folder.run()


def main() -> int:
    """As `serve`; 78 also when the settings are wrong."""
    logs.configure("views")
    try:
        settings = read_settings()
    except Invalid as exc:
        log.error("cannot start", reason=str(exc))
        return EX_CONFIG
    return uvloop.run(serve(settings))


if __name__ == "__main__":
    sys.exit(main())
