"""What a server tells, as types; fields that a newer server adds are left out."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Status = Literal["completed", "stopped", "failed"]


def read(kind: type[T], told: Mapping[str, Any]) -> T:
    """A dataclass from what was told; a field that is missing and has no default raises TypeError."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in told.items() if name in known})


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

    @property
    def place(self) -> str:
        """Title, and page or heading: where people find it."""
        title = self.title or self.document_id
        if self.page is not None:
            return f"{title}, page {self.page}"
        return " > ".join([title, *(heading for heading in self.heading if heading != title)])


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A turn that was accepted."""

    turn_id: str
    conversation_id: str


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
