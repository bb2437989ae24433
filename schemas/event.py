"""The base of every event, its registry by name, and `Content`, the one type for people's words."""

import os
import time
from dataclasses import dataclass, field
from typing import Annotated, dataclass_transform

NAMESPACE = "turnlog"
VARIANTS = "89ab"  # the two bits that every such UUID has, and two that are free


@dataclass(frozen=True)
class Doc:
    """What a field means, with its unit and format; it becomes the Avro `doc`."""

    text: str


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def uuid7() -> str:
    """A UUIDv7 (RFC 9562 section 5.7): sorts by the millisecond it was made in."""
    stamp, noise = now_ms().to_bytes(6, "big").hex(), os.urandom(10)
    digits = noise.hex()
    return f"{stamp[:8]}-{stamp[8:]}-7{digits[:3]}-{VARIANTS[noise[9] & 3]}{digits[3:6]}-{digits[6:18]}"


@dataclass(frozen=True, kw_only=True)
class Content:
    """People's words: inline, or by the hash of an object."""

    inline: Annotated[bytes | None, Doc("the bytes, when they are at most 256 kB")] = None
    object_sha256: Annotated[
        str | None, Doc("lower-case hex SHA-256 of the object that holds the bytes, else null")
    ] = None
    size: Annotated[int, Doc("length in bytes")]
    key_id: Annotated[str | None, Doc("the key that encrypts the bytes; null: not encrypted")] = None

    @classmethod
    def of(cls, words: str | bytes) -> "Content":
        """Content that lies inline; `infra.objects` decides when it must not."""
        data = words.encode() if isinstance(words, str) else words
        return cls(inline=data, size=len(data))


EVENTS: dict[str, type["Event"]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True, kw_only=True)
class Event:
    """One fact, past tense. Each subclass becomes a frozen dataclass, filed under its name (the header `type`)."""

    event_id: Annotated[str, Doc("UUIDv7 of this event")] = field(default_factory=uuid7)
    occurred_at: Annotated[int, Doc("when it happened, ms since the Unix epoch")] = field(default_factory=now_ms)

    def __init_subclass__(cls) -> None:
        EVENTS[cls.__name__] = dataclass(frozen=True, kw_only=True)(cls)
