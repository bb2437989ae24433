# Generated from turnlog/aio/client.py by `make generate`; `make check` fails when it is stale.
"""The client: every route that people use, typed; what fails in passing is tried again by itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from turnlog.connection import Connection
from turnlog.errors import Problem
from turnlog.model import Model, Passage, part
from turnlog.paths import said
from turnlog.retry import Retrying, in_silence
from turnlog.sync.access import Access
from turnlog.sync.documents import Documents
from turnlog.sync.http import ANSWER_SECONDS, Http
from turnlog.sync.turns import Turns


class Turnlog(Turns, Documents, Access):
    """Opened with `Turnlog.open()`, and then safe to use from many tasks at once.

    Methods raise Problem (the server said no) or Unreachable (nobody answered).
    """

    def __init__(self, http: Http) -> None:
        self._http = http

    @classmethod
    @contextmanager
    def open(
        cls,
        url: str | None = None,
        key: str | None = None,
        *,
        give_up_seconds: float = 60,
        answer_seconds: float = ANSWER_SECONDS,
        retrying: Retrying = in_silence,
    ) -> Iterator["Turnlog"]:
        """Finds address and key as `Connection.find` says. Nothing is sent yet.

        An answer may take `answer_seconds`; what fails in passing is tried again for `give_up_seconds`, and
        `retrying` is told before each such try: what failed, for how many seconds by now, and how many are left.
        """
        with Http.open(Connection.find(url, key), give_up_seconds, answer_seconds, retrying) as http:
            yield cls(http)

    @property
    def url(self) -> str:
        """The address of the server."""
        return str(self._http.pool.base_url).rstrip("/")

    def waits_for(self) -> dict[str, str]:
        """What the server waits for, by name, with the reason; empty: it is ready."""
        try:
            self._http.send("GET", "/ready")
        except Problem as problem:
            if not isinstance(waits_for := problem.more.get("waits_for"), dict):
                raise
            return waits_for
        return {}

    def models(self) -> list[Model]:
        """The models that can be asked, with their health."""
        return [Model.of(told) for told in part(self._http.json("GET", "/v1/models"), "data")]

    def search(
        self, query: str, *, collections: Sequence[str] | None = None, limit: int | None = None
    ) -> list[Passage]:
        """The passages that answer best, among those this key may read."""
        body = said(query=query, collections=list(collections) if collections else None, limit=limit)
        told = self._http.json("POST", "/v1/search", json=body, fresh=True)
        return [Passage.of(passage) for passage in part(told, "passages")]
