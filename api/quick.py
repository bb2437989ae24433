"""The busiest routes without FastAPI's resolver of parameters, which took a fifth of a busy API's time (measured).

FastAPI still documents them, and still answers whatever is not plainly right, so that every error is its own.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

T = TypeVar("T", bound=BaseModel)
Serve = Callable[[Request], Awaitable[Response | None]]


def quick(serve: Serve) -> type[APIRoute]:
    """A class of routes that `serve` answers; where it returns None, FastAPI goes on: at most the key was asked for."""

    class Quick(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            resolved = super().get_route_handler()

            async def handle(request: Request) -> Response:
                return await serve(request) or await resolved(request)

            return handle

    return Quick


async def plain_body(request: Request, kind: type[T]) -> T | None:
    """The body, when it is exactly what the route takes."""
    if request.headers.get("content-type") != "application/json":
        return None
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError:
        return None
