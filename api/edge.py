"""Where the API meets browsers and networks, by configuration: the names it answers to, other sites' pages, TLS."""

import ssl
from pathlib import Path
from typing import NoReturn

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem
from infra.settings import Settings
from schemas.errors import Invalid

PROBES = ("/live", "/ready", "/metrics")  # asked by address, and they tell nobody's words
SDK = (  # what OpenAI's JavaScript client says of itself, each as x-stainless-...
    "arch", "async", "custom-poll-interval", "helper-method", "lang", "os", "package-version", "poll-helper",
    "retry-count", "runtime", "runtime-version", "timeout",
)  # fmt: skip
ASKED_WITH = [
    "authorization", "content-type", "idempotency-key", "last-event-id", "x-turnlog-after", "x-turnlog-detach",
    "openai-organization", "openai-project", "user-agent", *(f"x-stainless-{name}" for name in SDK),
]  # fmt: skip
TOLD_BY = [
    "location", "retry-after", "ratelimit", "ratelimit-policy", "x-should-retry",
    "x-turnlog-position", "x-turnlog-turn",
    "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
]  # fmt: skip


def add_edge(app: FastAPI, settings: Settings) -> None:
    """Host check and CORS, as far as they are configured; without that any name will do, and no other site's page."""
    if settings.api_hosts:
        app.add_middleware(KnownHosts, names_of(settings.api_hosts))
    if settings.api_cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=names_of(settings.api_cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=ASKED_WITH,
            expose_headers=TOLD_BY,
        )


def names_of(listed: str) -> list[str]:
    """The parts of a comma-separated setting."""
    return [name.strip().lower() for name in listed.split(",") if name.strip()]


def tls_of(settings: Settings) -> tuple[Path, Path] | None:
    """Certificate chain and key, both PEM; None: plain HTTP. Raises Invalid when they are not there, or do not fit."""
    certificate, key = settings.api_tls_certificate, settings.api_tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise Invalid("TLS needs both TURNLOG_API_TLS_CERTIFICATE and TURNLOG_API_TLS_KEY: one is not set")
    for path in (certificate, key):
        if not path.is_file():
            raise Invalid(f"TLS: there is no file {path}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _locked)
    except OSError as exc:  # SSLError is one
        said = f"{exc.strerror or exc}"
        raise Invalid(f"TLS: {certificate} and {key} are no certificate with its key, both PEM: {said}") from None
    return certificate, key


def _locked() -> NoReturn:
    """OpenSSL would ask at a terminal."""
    raise Invalid("TLS: the key is encrypted, and nobody is there to say its password: give it without one")


class KnownHosts:
    """ASGI middleware: a request for another name than ours is refused, whoever made that name point here."""

    def __init__(self, app: ASGIApp, names: list[str]) -> None:
        self._app, self._names = app, frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "http" and scope["path"] not in PROBES:
            host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
            if host not in self._names and _without_port(host) not in self._names:
                problem = Problem(421, "misdirected", "this server does not answer to that name: see TURNLOG_API_HOSTS")
                await problem.response(scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
