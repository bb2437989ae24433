"""What could not be delivered."""

from dataclasses import dataclass
from typing import Annotated

from schemas.event import Doc, Event


@dataclass(frozen=True, kw_only=True)
class Header:
    """A Kafka header, as it was."""

    name: Annotated[str, Doc("name")]
    value: Annotated[bytes | None, Doc("value")]


class DeadLetter(Event):
    """A record that is no event of its topic, whole, with the place it came from."""

    topic: Annotated[str, Doc("topic, without the installation's prefix")]
    partition: Annotated[int, Doc("partition")]
    offset: Annotated[int, Doc("offset")]
    timestamp: Annotated[int, Doc("the record's timestamp, ms since the Unix epoch")]
    key: Annotated[bytes | None, Doc("original key")]
    value: Annotated[
        bytes | None, Doc("original bytes; null: a tombstone, or too large (then value_sha256 names them)")
    ]
    value_sha256: Annotated[str | None, Doc("object that holds the original bytes when they do not fit here")] = None
    headers: Annotated[list[Header], Doc("original headers")]
    worker: Annotated[str, Doc("consumer group that could not read it")]
    reason: Annotated[str, Doc("why, for people")]
