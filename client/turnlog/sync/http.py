# Generated from turnlog/aio/http.py by `make generate`; `make check` fails when it is stale.
"""Requests that are tried again when that is safe, and errors that say what to do."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import sleep
from types import UnionType
from typing import Any

import httpx

from turnlog.body import Body, chunks
from turnlog.connection import Connection, is_local
from turnlog.errors import NotTurnlog, Problem, TurnlogError, Unreachable
from turnlog.model import part
from turnlog.paths import said
from turnlog.retry import Retrying, asked_pause_seconds, in_silence, passes, pause_seconds, pending, unreachable
from turnlog.seen import Seen

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0  # also the longest silence of a stream: the server pings every 10 s
PAGE = 100
ENVIRONMENT = "See HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR."
POSITION, AFTER = "x-turnlog-position", "x-turnlog-after"


@dataclass
class Http:
    """One connection pool to one server. Every request that is sent through it may be sent twice.

    `after` is where the last writes lie on the server's log: a `fresh` request waits until it can see them.
    """

    pool: httpx.Client
    give_up_seconds: float
    retrying: Retrying = in_silence
    after: Seen = field(default_factory=Seen)

    @classmethod
    @contextmanager
    def open(
        cls,
        connection: Connection,
        give_up_seconds: float,
        answer_seconds: float = ANSWER_SECONDS,
        retrying: Retrying = in_silence,
    ) -> Iterator["Http"]:
        """Connects at the first request."""
        try:
            pool = httpx.Client(
                base_url=connection.url,
                headers={"authorization": f"Bearer {connection.key}"},
                timeout=httpx.Timeout(answer_seconds, connect=min(CONNECT_SECONDS, answer_seconds)),
                trust_env=not is_local(connection.url),  # a proxy would look for this machine's servers on its own
            )
        except (httpx.InvalidURL, ImportError, OSError, ValueError) as exc:  # what they raise for the environment's
            raise TurnlogError(f"A proxy or certificate that is set cannot be used: {exc}", ENVIRONMENT) from exc
        with pool:
            yield cls(pool, give_up_seconds, retrying)

    def write(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> Any:
        """A request that changes something: its idempotency key makes a second try join the first."""
        keyed = {"idempotency-key": key or str(uuid.uuid4()), **(headers or {})}
        return self.json(method, path, headers=keyed, kind=dict | None, **request)

    def pages(self, path: str, last: str, **params: Any) -> Iterator[dict[str, Any]]:
        """A list, page by page; `last` names the field whose value in the last item is the cursor."""
        cursor: str | None = None
        while True:
            told = self.json("GET", path, params=said(cursor=cursor, limit=PAGE, **params), fresh=True, kind=list)
            yield from told
            if len(told) < PAGE:
                return
            cursor = part(told[-1], last)

    def json(
        self, method: str, path: str, *, fresh: bool = False, kind: type | UnionType = dict, **request: Any
    ) -> Any:
        """The answer's JSON of a kind, None when it has no body; raises Problem, Unreachable or NotTurnlog."""
        if fresh and (places := str(self.after)):
            request["headers"] = {**request.get("headers", {}), AFTER: places}
        answer = self.send(method, path, **request)
        try:
            found = answer.json() if answer.content else None
        except ValueError as exc:
            said = answer.headers.get("content-type", "something without a type")
            raise NotTurnlog(f"{self.pool.base_url} answered with {said}") from exc
        if not isinstance(found, kind):
            raise NotTurnlog(f"{self.pool.base_url} answered with {'nothing' if found is None else 'other JSON'}")
        return found

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Sends until there is an answer that is no passing trouble; twice must be as good as once."""
        begun, tried = time.monotonic(), 0
        while True:
            try:
                answer = self.pool.request(method, path, **request)
            except httpx.InvalidURL as exc:
                raise TurnlogError(f"That makes no address: {exc}", "Take a shorter name.") from exc
            except httpx.DecodingError as exc:
                raise NotTurnlog(f"{self.pool.base_url} answered with what cannot be read ({exc})") from exc
            except httpx.TransportError as exc:
                failure: Problem | Unreachable = unreachable(self.pool.base_url, exc)
                pause = pause_seconds(tried)
            else:
                if answer.is_success and not pending(answer):
                    self.after.take(answer.headers.get(POSITION, ""))
                    return answer
                failure = Problem.of(answer)
                pause = max(pause_seconds(tried), asked_pause_seconds(answer))
                if not passes(failure):
                    raise failure
            seconds = time.monotonic() - begun
            if seconds + pause > self.give_up_seconds:
                raise failure
            self.retrying(failure, seconds, self.give_up_seconds - seconds)
            sleep(pause)
            tried += 1


@dataclass(frozen=True)
class Upload:
    """A body in chunks that says how far it is; each try reads it from the start."""

    body: Body
    size: int
    sent: Callable[[int], None]

    def __iter__(self) -> Iterator[bytes]:
        count = 0
        for chunk in chunks(self.body, self.size):
            yield chunk
            count += len(chunk)
            self.sent(count)
