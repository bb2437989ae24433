"""The connection to OpenSearch, and what its errors mean to us."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from opensearchpy import AsyncOpenSearch, JSONSerializer
from opensearchpy.exceptions import ConnectionError as NotReached
from opensearchpy.exceptions import OpenSearchException, TransportError

from infra.settings import Settings
from schemas.errors import Invalid, Unavailable

TIMEOUT_SECONDS = 30
PASSING = frozenset({404, 408, 429, 500, 502, 503, 504})  # 404: the index is not provisioned yet
JSON_LINES = {"content-type": "application/x-ndjson"}
JSON_BODY = {"content-type": "application/json"}


class _Fast(JSONSerializer):
    """Reads with orjson; bodies are bytes already."""

    def loads(self, s: str) -> Any:
        return orjson.loads(s)


class Client:
    """Requests with bytes in and parsed JSON out; raises Unavailable or Invalid."""

    def __init__(self, client: AsyncOpenSearch) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, connections: int = 16) -> AsyncIterator["Client"]:
        """A client; no connection is made yet."""
        client = AsyncOpenSearch(
            [settings.opensearch_url],
            serializer=_Fast(),
            timeout=TIMEOUT_SECONDS,
            maxsize=connections,
            max_retries=0,
            retry_on_status=(),
        )
        try:
            yield cls(client)
        finally:
            await client.close()

    async def ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] = JSON_BODY, **params: str
    ) -> dict[str, Any]:
        """The answer to a request."""
        try:
            found: dict[str, Any] = await self._client.transport.perform_request(
                method, path, params=params, body=body, headers=headers
            )
        except OpenSearchException as exc:
            raise _translated(exc) from exc
        return found


def _translated(exc: OpenSearchException) -> Exception:
    if isinstance(exc, NotReached):
        return Unavailable("opensearch", f"not reached: {exc.error}")
    if isinstance(exc, TransportError) and exc.status_code not in PASSING:
        return Invalid(f"opensearch refuses it: {exc.status_code} {exc.error} {str(exc.info)[:500]}")
    return Unavailable("opensearch", str(exc)[:500])
