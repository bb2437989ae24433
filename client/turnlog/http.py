"""Requests that are tried again when that is safe, and errors that say what to do."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from turnlog.connection import Connection, is_local
from turnlog.errors import Problem, TurnlogError, Unreachable

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0  # also the longest silence of a stream: the server pings every 10 s
CHUNK_BYTES = 64 * 1024
AGAIN_STATUSES = {202, 429, 502, 503, 504}
AGAIN_KINDS = {"in-progress"}  # the first try of this write is on its way: the next one joins it
POSITION, AFTER = "x-turnlog-position", "x-turnlog-after"


@dataclass
class Http:
    """One connection pool to one server. Every request that is sent through it may be sent twice.

    `after` is where the last write lies on the server's log: a `fresh` request waits until it can see it.
    """

    pool: httpx.Client
    give_up_seconds: float
    after: str = ""

    @classmethod
    @contextmanager
    def open(cls, connection: Connection, give_up_seconds: float) -> Iterator["Http"]:
        """Connects at the first request."""
        pool = httpx.Client(
            base_url=connection.url,
            headers={"authorization": f"Bearer {connection.key}"},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=not is_local(connection.url),  # a proxy would look for this machine's servers on its own
        )
        with pool:
            yield cls(pool, give_up_seconds)

    def json(self, method: str, path: str, *, fresh: bool = False, **request: Any) -> Any:
        """The answer's JSON, None when it has no body; raises Problem, Unreachable, or that it is no Turnlog."""
        if fresh and self.after:
            request["headers"] = {**request.get("headers", {}), AFTER: self.after}
        answer = self.send(method, path, **request)
        try:
            return answer.json() if answer.content else None
        except ValueError as exc:
            kind = answer.headers.get("content-type", "something without a type")
            raise TurnlogError(
                f"{self.pool.base_url} answered with {kind}: that is no Turnlog server",
                "Give its address: TURNLOG_URL, or --url.",
            ) from exc

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Sends until there is an answer that is no passing trouble; twice must be as good as once."""
        deadline, tried = time.monotonic() + self.give_up_seconds, 0
        while True:
            try:
                answer = self.pool.request(method, path, **request)
            except httpx.TransportError as exc:
                failure: Problem | Unreachable = unreachable(self.pool, exc)
                pause = pause_seconds(tried)
            else:
                if answer.is_success and not pending(answer):
                    self.after = answer.headers.get(POSITION, self.after)
                    return answer
                failure = Problem.of(answer)
                pause = max(pause_seconds(tried), asked_pause_seconds(answer))
                if not passes(failure):
                    raise failure
            if time.monotonic() + pause > deadline:
                raise failure
            time.sleep(pause)
            tried += 1


@dataclass(frozen=True)
class Upload:
    """A body in chunks that says how far it is; each try reads it from the start."""

    content: bytes
    sent: Callable[[int], None]

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self.content), CHUNK_BYTES):
            chunk = self.content[start : start + CHUNK_BYTES]
            yield chunk
            self.sent(start + len(chunk))


def passes(problem: Problem) -> bool:
    """Whether another try may fare better."""
    return problem.status in AGAIN_STATUSES or problem.kind in AGAIN_KINDS


def pending(answer: httpx.Response) -> bool:
    """True for "not yet": what was asked for is not there, but it will be."""
    return answer.status_code == 202 and answer.headers.get("content-type", "").startswith("application/problem+json")


def unreachable(pool: httpx.Client, exc: Exception) -> Unreachable:
    """What to tell when nobody answers."""
    said = str(exc) or type(exc).__name__
    return Unreachable(
        f"{pool.base_url} does not answer: {said}", "Is it running? `make run` starts one; see TURNLOG_URL."
    )


def pause_seconds(tried: int) -> float:
    """Exponential back-off with full jitter."""
    return random.uniform(0.05, min(3.0, 0.2 * 2.0 ** min(tried, 8)))


def asked_pause_seconds(answer: httpx.Response) -> float:
    """What the server asked for in Retry-After; 0: nothing that can be read."""
    asked = answer.headers.get("retry-after", "")
    return float(asked) if asked.isdigit() else 0.0
