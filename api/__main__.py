"""The API: `python -m api`."""

import os
import resource
import signal
import sys
from types import FrameType

import structlog
import uvicorn

from api.app import create_app
from api.edge import tls_of
from api.tokens import check_oidc
from infra import logs
from infra.settings import read_settings
from schemas.errors import Invalid

log = structlog.get_logger()


def main() -> int:
    """Serves until SIGTERM or SIGINT; exit code 1 when it could not start, 78 when its settings are wrong."""
    logs.configure("api")
    allow_many_streams()
    try:
        settings = read_settings()
        certificate, key = tls_of(settings) or (None, None)
        check_oidc(settings)
    except Invalid as exc:
        log.error("cannot start", reason=str(exc))
        return os.EX_CONFIG
    causes: list[BaseException] = []

    def failed(cause: BaseException) -> None:
        if isinstance(cause, Invalid):
            log.error("cannot start", reason=str(cause))
        else:
            log.error("cannot go on", exc_info=cause)
        causes.append(cause)
        server.should_exit = True

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, failed),
            host=settings.api_host,
            port=settings.api_port,
            loop="uvloop",
            http="httptools",
            ws="none",
            ssl_certfile=certificate,
            ssl_keyfile=key,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.limits.drain_seconds)),
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)  # uvicorn stops in order at the first one, and raises it again at the end
    server.run()
    if any(isinstance(cause, Invalid) for cause in causes):
        return os.EX_CONFIG
    return 1 if causes or not server.started else 0


def allow_many_streams() -> None:
    """As many open files as the system lets us have: each stream is one, and shells often give 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
