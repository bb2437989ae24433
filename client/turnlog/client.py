"""The client: every route that people use, typed; what fails in passing is tried again by itself."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from turnlog.connection import Connection
from turnlog.errors import Problem, TurnlogError
from turnlog.http import Http, Upload
from turnlog.model import Document, Model, Passage, StreamItem, Turn, read
from turnlog.stream import follow, passage_of

LARGE_BYTES = 4 * 1024 * 1024  # larger documents go ahead as objects; a request holds 8 MiB
INDEXED_SECONDS = 900.0
POLL_SECONDS = 0.5


class Turnlog:
    """Opened with `Turnlog.open()`. Methods raise Problem (the server said no) or Unreachable (nobody answered)."""

    def __init__(self, http: Http) -> None:
        self._http = http

    @classmethod
    @contextmanager
    def open(
        cls, url: str | None = None, key: str | None = None, *, give_up_seconds: float = 60
    ) -> Iterator["Turnlog"]:
        """Finds address and key as `Connection.find` says. Nothing is sent yet."""
        with Http.open(Connection.find(url, key), give_up_seconds) as http:
            yield cls(http)

    def ask(
        self,
        question: str,
        *,
        conversation_id: str | None = None,
        model: str | None = None,
        collections: Sequence[str] | None = None,
    ) -> Turn:
        """Asks in a conversation, or in a new one. Accepted is kept: the turn will have an answer."""
        conversation = conversation_id or self.start_conversation()
        body = {
            "question": question,
            "model": model,
            "retrieval": {"collections": collections} if collections else None,
        }
        return read(Turn, self._write("POST", _path("conversations", conversation, "turns"), json=_said(body)))

    def start_conversation(self, title: str | None = None) -> str:
        """The id of a new conversation."""
        return str(self._write("POST", "/v1/conversations", json=_said({"title": title}))["conversation_id"])

    def events(self, turn_id: str, last_id: str = "") -> Iterator[StreamItem]:
        """A turn's events until it has ended, at any age; a cut connection is taken up again."""
        return follow(self._http, turn_id, last_id)

    def turn(self, turn_id: str) -> dict[str, Any]:
        """A turn with its record, as the server tells it."""
        told: dict[str, Any] = self._http.json("GET", _path("turns", turn_id), fresh=True)
        return told

    def conversation(self, conversation_id: str) -> dict[str, Any]:
        """A conversation with its first 100 turns, as the server tells it."""
        told: dict[str, Any] = self._http.json("GET", _path("conversations", conversation_id), fresh=True)
        return told

    def stop(self, turn_id: str) -> None:
        """Ends a turn with the text it has; its stream then says `stopped`."""
        self._write("POST", _path("turns", turn_id, "stop"))

    def publish(
        self,
        collection_id: str,
        document_id: str,
        content: bytes,
        *,
        media_type: str,
        title: str | None = None,
        wait: bool = False,
        sent: Callable[[int], None] = lambda _: None,
    ) -> Document:
        """Publishes a document's next version; with `wait`, comes back when it can be found, or has failed.

        `sent` is told how many bytes were sent so far; after a failure it begins again at 0.
        """
        said = _said({"title": title, "wait": "searchable" if wait else None})
        if len(content) > LARGE_BYTES:
            said["object_sha256"] = self._upload("/v1/objects", content, sent)["sha256"]
            content = b""
        path = _document(collection_id, document_id)
        told = self._upload(path, content, sent, params=said, headers={"content-type": media_type})
        document = read(Document, told)
        return self._settled(document) if wait else document

    def _upload(
        self,
        path: str,
        content: bytes,
        sent: Callable[[int], None],
        params: dict[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        length = {"content-length": str(len(content))}
        return self._write(
            "PUT", path, headers={**length, **(headers or {})}, params=params, content=Upload(content, sent)
        )

    def _settled(self, document: Document) -> Document:
        """Asks on when the server did not want to wait any longer."""
        deadline = time.monotonic() + INDEXED_SECONDS
        while document.state == "queued":
            if time.monotonic() > deadline:
                waits = f"it waits for {document.waiting_for}" if document.waiting_for else "others are before it"
                raise TurnlogError(
                    f"{document.key} is accepted, but after {INDEXED_SECONDS:.0f} s not indexed: {waits}",
                    "It will be: look with `turnlog documents show`.",
                )
            time.sleep(POLL_SECONDS)
            document = self.document(document.collection_id, document.document_id)
        return document

    def document(self, collection_id: str, document_id: str) -> Document:
        """What has become of a document."""
        return read(Document, self._http.json("GET", _document(collection_id, document_id), fresh=True))

    def documents(self, collection_id: str) -> Iterator[Document]:
        """Every document of a collection, page by page."""
        cursor: str | None = None
        while True:
            page = self._http.json(
                "GET",
                _path("collections", collection_id, "documents"),
                params=_said({"cursor": cursor}),
                fresh=True,
            )
            yield from (read(Document, told) for told in page["documents"])
            cursor = page["next"]
            if not cursor:
                return

    def delete(self, collection_id: str, document_id: str) -> None:
        """Withdraws a document: it is found no more as soon as this is accepted."""
        self._write("DELETE", _document(collection_id, document_id))

    def search(
        self, query: str, *, collections: Sequence[str] | None = None, limit: int | None = None
    ) -> list[Passage]:
        """The passages that answer best, among those this key may read."""
        told = self._http.json(
            "POST", "/v1/search", json=_said({"query": query, "collections": collections, "limit": limit}), fresh=True
        )
        return [passage_of(passage) for passage in told["passages"]]

    def create_collection(self, collection_id: str) -> None:
        """Makes a collection that only its owner reads; one that is there already is fine."""
        try:
            self._write("POST", "/v1/collections", json={"collection_id": collection_id, "name": collection_id})
        except Problem as problem:
            if problem.status != 409:
                raise
        self._http.json("GET", _path("collections", collection_id), fresh=True)

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
        return [Model.of(told) for told in self._http.json("GET", "/v1/models")["data"]]

    def _write(self, method: str, path: str, headers: Mapping[str, str] | None = None, **request: Any) -> Any:
        """A request that changes something: its key makes a second try join the first."""
        return self._http.json(
            method, path, headers={"idempotency-key": str(uuid.uuid4()), **(headers or {})}, **request
        )


def _document(collection_id: str, document_id: str) -> str:
    return _path("collections", collection_id, "documents", document_id)


def _path(*names: str) -> str:
    """Below /v1. Raises TurnlogError for a name that could arrive as another path.

    Whatever is on the way may take `..` for the folder above, percent-encoded or not, and the address of the document
    `..` would be that of its collection.
    """
    for name in names:
        if not name or {".", ".."} & set(name.split("/")):
            raise TurnlogError(f"{name!r} cannot be named over HTTP", "Take a name without a part `.` or `..`.")
    return "/".join(["/v1", *(quote(name, safe="") for name in names)])


def _said(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
