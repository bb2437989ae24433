"""The stream's events as bytes: server-sent events whose id is `attempt.seq.position`."""

import re
from dataclasses import dataclass, replace
from typing import Any

import orjson

from api.problems import Problem

PLACE = re.compile(r"(\d{1,15})\.(\d{1,9})\.(\d{1,9})")
PING = b": ping\n\n"


@dataclass(frozen=True)
class Place:
    """How far a reader is: everything of an attempt up to `seq`, and of its text up to `position`."""

    attempt: int = 0
    seq: int = 0
    position: int = 0

    @classmethod
    def parsed(cls, last_event_id: str | None) -> "Place":
        """From the header Last-Event-ID, or the query parameter; raises a 400 problem."""
        if not last_event_id:
            return cls()
        found = PLACE.fullmatch(last_event_id.strip())
        if found is None:
            raise Problem(400, "invalid", "Last-Event-ID is not an id of this stream: attempt.seq.position")
        return cls(*map(int, found.groups()))

    def at(self, seq: int, position: int) -> "Place":
        """Further on in the same attempt."""
        return replace(self, seq=seq, position=position)

    def frame(self, event: str, data: dict[str, Any]) -> bytes:
        """An event that brings a reader here."""
        return b"event: %s\nid: %d.%d.%d\ndata: %s\n\n" % (
            event.encode(),
            self.attempt,
            self.seq,
            self.position,
            orjson.dumps(data),
        )


def aside(event: str, data: dict[str, Any]) -> bytes:
    """An event that this replica says by itself: it moves nobody's place."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(data))
