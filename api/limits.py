"""Around every request: how large and how deep its body may be, and what is counted of it."""

import time
from urllib.parse import unquote_to_bytes

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem
from infra.settings import Limits

STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level down, one up, as signed bytes
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
UPLOADS = "/v1/objects"
MORE_HEADERS = "turnlog.headers"  # in the scope: what every answer to this caller says besides


class TooLarge(HTTPException):
    """A body over its limit, noticed while it came."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body has more than the {limit} bytes allowed here")


def check_depth(body: bytes, deepest: int) -> None:
    """Raises a 400 problem for JSON that is nested deeper than allowed, before any parser descends into it.

    Nobody has said yet who sends it, so every pass is linear in C: escapes go, then strings, then all but brackets.
    Where brackets or quotes do not match the parser stops, and what is counted after that does not matter.
    """
    if body.count(b"[") + body.count(b"{") <= deepest:
        return
    bare = b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    steps = np.frombuffer(bare.translate(STEPS, NO_BRACKETS), np.int8)
    if steps.size and steps.cumsum(dtype=np.int32).max() > deepest:
        raise Problem(400, "too-deep", f"JSON nested deeper than {deepest}")


def check_question(question: str, limits: Limits) -> None:
    """Raises a 422 problem for a question that is too long."""
    if len(question) > limits.question_characters:
        raise Problem(
            422, "too-long", f"a question of {len(question)} characters; {limits.question_characters} are allowed"
        )


class RequestMetrics:
    """What the API counts of its requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "turnlog_http_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "turnlog_http_first_byte_seconds", "Time to the first byte of the answer", ["route"], registry=registry
        )


def _check_unicode(scope: Scope) -> None:
    """Raises a 400 problem: servers replace what is no UTF-8, and two names would become one."""
    for part in (scope.get("raw_path") or b"", scope["query_string"]):
        if b"%" in part or not part.isascii():
            try:
                unquote_to_bytes(part).decode()
            except UnicodeDecodeError as exc:
                raise Problem(
                    400, "invalid", "the path or the query holds percent-encoded bytes that are no UTF-8"
                ) from exc


class Limited:
    """ASGI middleware: bodies within their limits, and every answer counted. Streams pass without a copy."""

    def __init__(self, app: ASGIApp, limits: Limits, metrics: RequestMetrics) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, started = time.perf_counter(), False

        async def counted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._count(scope, message["status"], time.perf_counter() - began)
                message["headers"] = [*message.get("headers", ()), *scope.get(MORE_HEADERS, ())]
            await send(message)

        try:
            checked = await self._checked(scope, receive)
        except (Problem, TooLarge) as exc:
            problem = exc if isinstance(exc, Problem) else Problem(413, "too-large", exc.detail)
            await problem.response(scope["path"])(scope, receive, counted)
        else:
            try:
                await self._app(scope, checked, counted)
            except Exception:
                if not started:  # the 500 is made outside of this
                    self._count(scope, 500, time.perf_counter() - began)
                raise

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        _check_unicode(scope)
        headers = dict(scope["headers"])
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Problem(415, "content-encoding", "bodies are taken as they are: send it without Content-Encoding")
        upload = scope["path"].startswith(UPLOADS)
        limit = self._limits.upload_bytes if upload else self._limits.body_bytes
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limit:
            raise TooLarge(limit)
        if not length and b"transfer-encoding" not in headers:
            return receive
        if b"json" in headers.get(b"content-type", b"") and not upload:
            return _replay(await self._json(receive, limit), receive)
        return _counting(receive, limit)

    async def _json(self, receive: Receive, limit: int) -> bytes:
        counting, chunks, more = _counting(receive, limit), [], True
        while more:
            message = await counting()
            if message["type"] == "http.disconnect":
                return b""
            chunks.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(chunks)
        check_depth(body, self._limits.body_depth)
        return body

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)


def _counting(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLarge(limit)
        return message

    return counted


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replayed() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
