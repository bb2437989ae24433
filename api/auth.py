"""Who may come in: a bearer key or token on every request, its scopes on every route, its rate on every call."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from api.caller import Caller
from api.consistency import wait_if_asked
from api.limits import MORE_HEADERS
from api.problems import Problem
from api.services import Opened, Services, opened
from infra.oidc import TokenRefused

CALLER = "turnlog.caller"  # in the scope: who asks, for FastAPI to go on where a quick route has looked already
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False, bearerFormat="tl_..."))]


async def authenticated(request: Request, services: Opened, _key: Bearer) -> Caller:
    """The caller of a request; raises 401, or 429 when the key's rate is spent.

    A request that says `x-turnlog-after` waits here, and is then judged by the rights as they are after it.
    """
    known: Caller | None = request.scope.get(CALLER)
    if known is not None:
        return known
    caller = await authenticate(services, request.headers.get("authorization", ""))
    await services.rates.take(caller)
    request.scope[MORE_HEADERS] = services.rates.headers(caller)
    if "x-turnlog-after" in request.headers or (request.scope["query_string"] and "after" in request.query_params):
        await wait_if_asked(services, request)
        caller = await authenticate(services, request.headers.get("authorization", ""))
    request.scope[CALLER] = caller
    return caller


async def authenticate(services: Services, authorization: str) -> Caller:
    """The caller behind an Authorization header, with a key of ours or a token of the issuer; raises a 401 problem."""
    scheme, _, said = authorization.partition(" ")
    secret = said.strip() if scheme.lower() == "bearer" else ""
    if not secret:
        raise unauthenticated("say who you are: Authorization: Bearer tl_...")
    if services.tokens and secret.count(".") == 2:
        try:
            return await services.tokens.caller(secret)
        except TokenRefused as exc:
            raise unauthenticated(str(exc), ', error="invalid_token"') from None
    caller = await services.keyring.caller(secret)
    if caller is None:
        raise unauthenticated("this key is not known, or works no more")
    return caller


def unauthenticated(why: str, more: str = "") -> Problem:
    """Nobody is known behind this request."""
    return Problem(401, "unauthenticated", why, headers={"www-authenticate": f'Bearer realm="turnlog"{more}'})


Authenticated = Annotated[Caller, Depends(authenticated)]


def require(caller: Caller, scope: str) -> None:
    """Raises 403 when the key lacks a scope; `admin` and `audit` are looked for as if they did not exist (404)."""
    if scope in caller.scopes:
        return
    if scope in ("admin", "audit"):
        raise Problem(404, "not-found", f"there is nothing here for this key: it lacks the scope {scope}")
    raise Problem(403, "forbidden", f"this key lacks the scope {scope}: it has {', '.join(sorted(caller.scopes))}")


def needs(scope: str) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency: the caller, whose key has a scope."""

    async def checked(caller: Authenticated) -> Caller:
        require(caller, scope)
        return caller

    return checked


async def admitted(request: Request, scope: str) -> tuple[Caller, Services]:
    """The same, for a route that reads its own requests."""
    services = await opened(request)
    caller = await authenticated(request, services, None)
    require(caller, scope)
    return caller, services


Chats = Annotated[Caller, Depends(needs("chat"))]
Searches = Annotated[Caller, Depends(needs("search"))]
Publishes = Annotated[Caller, Depends(needs("publish"))]
Audits = Annotated[Caller, Depends(needs("audit"))]
Administers = Annotated[Caller, Depends(needs("admin"))]
