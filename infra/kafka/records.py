"""A record read and a record to write, as steps see them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from schemas.event import Event
from topics.catalogue import Topic

E_co = TypeVar("E_co", bound=Event, covariant=True)


@dataclass(frozen=True)
class Position:
    """Where a record lies on its topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True)
class Record:
    """A record as it lies on its topic, before anything believes it; `topic` is without the installation's prefix."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()

    def named_headers(self) -> dict[str, bytes]:
        """The headers by name, the last of a name; one without a value is left out."""
        return {name: value for name, value in self.headers if value is not None}


@dataclass(frozen=True)
class Received(Generic[E_co]):
    """An event with the place it was read from; `topic` is without the installation's prefix."""

    event: E_co
    topic: str
    partition: int
    offset: int
    key: bytes
    timestamp_ms: int
    headers: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """An event to publish. `partition`: the consumed record's, when the key is the same (all keyed topics have 12)."""

    topic: Topic
    key: str
    event: Event
    partition: int | None = None


Outputs = Sequence[Output]
NOTHING: Outputs = ()
