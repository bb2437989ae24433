"""One line an event on stderr: for people on a terminal, JSON elsewhere."""

import logging
import math
import sys
import time
from collections.abc import Callable

import structlog


def configure(process: str, *, level: int = logging.INFO) -> None:
    """Sets structlog and the standard library's logging up for one process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=True) if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")


class Seldom(logging.Filter):
    """Lets each message of a library through once in ten seconds; without a broker, aiokafka says it many times."""

    def __init__(self, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds, self._clock = seconds, clock
        self._said: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Says whether a record is written; told apart by logger and format, not by what is put into it."""
        now, message = self._clock(), (record.name, record.msg)
        if record.exc_info is None and now - self._said.get(message, -math.inf) < self._seconds:
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[message] = now
        return True
