"""What a server tells, as types; fields that a newer server adds are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, TypeVar

from turnlog.errors import NotTurnlog

T = TypeVar("T")
Status = Literal["completed", "stopped", "failed"]


def read(kind: type[T], told: Mapping[str, Any] | None) -> T:
    """A dataclass from what was told; raises NotTurnlog when a field is missing that has no default."""
    known = {known.name for known in fields(kind)}  # type: ignore[arg-type]
    try:
        return kind(**{name: _typed(name, value) for name, value in (told or {}).items() if name in known})
    except (AttributeError, TypeError, ValueError) as exc:
        raise NotTurnlog(f"The answer is no {kind.__name__} ({exc})") from exc


def part(told: Mapping[str, Any] | None, name: str) -> Any:
    """A field of what was told; raises NotTurnlog when it is not there."""
    if not isinstance(told, Mapping) or name not in told:
        raise NotTurnlog(f"The answer has no `{name}`")
    return told[name]


def _typed(name: str, value: Any) -> Any:
    if name.endswith("_at") and isinstance(value, str):
        return datetime.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A span of a document: found by a search, or shown to a model under a number."""

    collection_id: str
    document_id: str
    version: int
    passage: int
    title: str | None = None
    page: int | None = None
    heading: tuple[str, ...] = ()
    start: int | None = None
    end: int | None = None
    number: int = 0
    text: str | None = None
    score: float | None = None
    score_text: float | None = None
    score_vector: float | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Passage":
        """As a stream, a record or a search tells it."""
        return read(cls, {**told, "heading": told.get("heading") or ()})

    @property
    def place(self) -> str:
        """Title, and page or heading: where people find it."""
        title = self.title or self.document_id
        if self.page is not None:
            return f"{title}, page {self.page}"
        return " > ".join([title, *(heading for heading in self.heading if heading != title)])


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A marker in an answer: it names passage `number` and stands after `position` characters."""

    number: int
    position: int


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A turn: queued, running, completed, stopped or failed. `answer` is None as long as there is no record."""

    turn_id: str
    conversation_id: str
    status: str = "queued"
    parent_turn_id: str | None = None
    reason: str | None = None
    asked_at: datetime | None = None
    recorded_at: datetime | None = None
    model: str | None = None
    question: str | None = None
    answer: str | None = None
    passages: tuple[Passage, ...] = ()
    citations: tuple[Citation, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Turn":
        """As the server tells it."""
        passages = tuple(Passage.of(passage) for passage in told.get("passages") or ())
        citations = tuple(read(Citation, citation) for citation in told.get("citations") or ())
        return read(cls, {**told, "passages": passages, "citations": citations})


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A conversation; in a list without its turns."""

    conversation_id: str
    title: str | None = None
    started_at: datetime | None = None
    turned_at: datetime | None = None
    turns: tuple[Turn, ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any], turns: Sequence[Turn] = ()) -> "Conversation":
        """As the server tells it, with its turns."""
        return read(cls, {**told, "turns": tuple(turns)})


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Where documents lie. Others than the owner see only themselves among the readers."""

    collection_id: str
    name: str
    owner: str
    readers: tuple[str, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key without its secret. Limits that are None are the installation's."""

    key_id: str
    user_id: str
    name: str
    scopes: tuple[str, ...]
    requests_per_minute: int | None = None
    turns_in_flight: int | None = None
    expires_at: datetime | None = None
    created_by: str | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class NewApiKey:
    """A key that was just made: its secret is `key`, which no repr shows and nobody tells again."""

    key_id: str
    key: str = field(repr=False)
    user_id: str
    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Me:
    """Whose key this is, and what it may."""

    user_id: str
    key_id: str
    scopes: tuple[str, ...]
    principals: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """Bytes on the server; a document names them by their hash."""

    sha256: str
    size: int
    uploaded_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document and what has become of its newest version: queued, indexed, failed, removing or withdrawn."""

    collection_id: str
    document_id: str
    state: str
    title: str | None = None
    version: int | None = None
    live_version: int | None = None
    passages: int | None = None
    code: str | None = None
    reason: str | None = None
    waiting_for: str | None = None

    @property
    def key(self) -> str:
        """Collection and id, as people write it."""
        return f"{self.collection_id}/{self.document_id}"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that can be asked, by its alias."""

    id: str
    about: str = ""
    default: bool = False
    away: str | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Model":
        """As `/v1/models` tells it. `away`: why it does not answer; None: it does."""
        health = told.get("health") or {}
        away = None if health.get("status") == "ok" else health.get("reason") or "not known to be well"
        return read(cls, {**told, "away": away})


@dataclass(frozen=True, kw_only=True)
class Delta:
    """The answer grew."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Passages:
    """What will be shown to the model."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The answer waits for a server."""

    server: str


@dataclass(frozen=True, kw_only=True)
class Restart:
    """The answer begins anew: forget the text and the passages so far."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Queued, or retrieving."""

    stage: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Nothing follows."""

    status: Status
    length: int
    reason: str | None = None


StreamItem = Delta | Passages | Waiting | Restart | Progress | Ended
