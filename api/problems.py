"""Every error over HTTP is a problem (RFC 9457): what happened, why, and what helps."""

import math
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from schemas.errors import Invalid, Refused, Unavailable

MEDIA_TYPE = "application/problem+json"
DESCRIBED: dict[str, Any] = {
    "description": "A problem (RFC 9457). `type` is stable, `detail` is for people.",
    "content": {
        MEDIA_TYPE: {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string", "examples": ["urn:turnlog:not-found"]},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            }
        }
    },
}
RETRY_SECONDS = 2
OPENAI = ("/v1/chat/", "/v1/embeddings", "/v1/models")
OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
SAID, LISTED = 5, 20  # errors of a body, in words and as a list
UNNAMED = {499: "Client Closed Request"}  # nobody reads that; metrics count it
KINDS = {400: "invalid", 413: "too-large"}


class Problem(Exception):
    """An answer that is an error. `kind` is stable and kebab-case, `detail` for people, `more` are further members."""

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers, self.more = headers or {}, more

    def response(self, path: str) -> Response:
        """The HTTP response; at a path that OpenAI's clients ask, with what they read, too."""
        body = {
            "type": f"urn:turnlog:{self.kind}",
            "title": UNNAMED.get(self.status) or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        status = self.status
        if path.startswith(OPENAI):
            status = 400 if status == 422 else status  # what their SDKs call a bad request
            body |= {"status": status, "error": self._as_openai()}
        return Response(orjson.dumps(body | self.more), status, self.headers, MEDIA_TYPE)

    def _as_openai(self) -> dict[str, Any]:
        """`type` is a class of errors, `code` is ours and stable, `param` the field that is wrong."""
        kind = OPENAI_TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        first = (self.more.get("errors") or [{}])[0]
        where = first.get("where", "").removeprefix("body.") or self.more.get("param")
        return {"message": self.detail, "type": kind, "param": where, "code": self.kind.replace("-", "_")}


def not_found(what: str) -> Problem:
    """There is no such thing, or the caller may not see it: nobody learns which."""
    return Problem(404, "not-found", f"there is no {what}, or none that this key may see")


def taken(what: str) -> Problem:
    """A name is in use."""
    return Problem(409, "taken", f"{what} exists already")


def forbidden(detail: str) -> Problem:
    """The caller may see it, but not do this."""
    return Problem(403, "forbidden", detail)


def unavailable(server: str, reason: str) -> Problem:
    """A server is away."""
    detail = f"{server} is not available" + (f": {reason}" if reason else "")
    return Problem(503, "unavailable", detail, headers={"retry-after": str(RETRY_SECONDS)}, server=server)


def too_many(kind: str, detail: str, wait_seconds: float, headers: dict[str, str] | None = None) -> Problem:
    """A limit over time is reached."""
    return Problem(429, kind, detail, headers={"retry-after": str(max(1, math.ceil(wait_seconds))), **(headers or {})})


def install(app: FastAPI) -> None:
    """Makes every error of the app a problem."""

    async def problem(request: Request, exc: Exception) -> Response:
        return problem_of(exc).response(request.url.path)

    for kind in (Problem, Unavailable, Invalid, Refused, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, problem)


def problem_of(exc: Exception) -> Problem:
    """The problem that an exception is."""
    match exc:
        case Problem():
            return exc
        case Unavailable():
            return unavailable(exc.server, "" if exc.server in ("postgres", "kafka") else exc.reason)
        case Invalid():
            return Problem(422, "invalid", str(exc))
        case Refused():
            return Problem(403, "refused", str(exc))
        case RequestValidationError():
            return _validation(exc)
        case HTTPException():
            kind = KINDS.get(exc.status_code) or HTTPStatus(exc.status_code).phrase.lower().replace(" ", "-")
            return Problem(exc.status_code, kind, str(exc.detail), headers=dict(exc.headers or {}))
    return Problem(500, "internal-error", "our fault: it is in the log of the API")


def _validation(exc: RequestValidationError) -> Problem:
    """Where and what, never the value: it may be a secret."""
    found = exc.errors()
    errors = [{"where": ".".join(str(part) for part in e["loc"]), "what": str(e["msg"])} for e in found[:LISTED]]
    status = 400 if any(e["type"] == "json_invalid" for e in found) else 422
    said = "; ".join(f"{e['where']}: {e['what']}" for e in errors[:SAID])
    more = f"; and {len(found) - SAID} more" if len(found) > SAID else ""
    return Problem(status, "invalid", said + more, errors=errors)
