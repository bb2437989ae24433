"""The streams of the last 24 h: dense, in order, and saying what the record says."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from audit.verify.checks import Check
from schemas.answers import (
    AnswerEnded,
    AnswerExtended,
    AnswerRecorded,
    AnswerStarted,
    AnswerWaiting,
    PassagesRetrieved,
)
from schemas.event import Content

Live = AnswerStarted | AnswerExtended | AnswerWaiting | PassagesRetrieved | AnswerEnded


@dataclass
class Stream:
    """One attempt, as far as it was read. `broken`: told once, and not judged further."""

    place: str
    begins: bool
    seq: int = 0
    position: int = 0
    text: Any = field(default_factory=hashlib.sha256)
    ended: AnswerEnded | None = None
    broken: bool = False


class Streams:
    """Follows every attempt on `answers-live`."""

    def __init__(self) -> None:
        self.dense = Check("streams of the last 24 h have every event, in order, at the right position")
        self.same = Check("streams say what their records say")
        self._streams: dict[tuple[str, int], Stream] = {}
        self._cut: set[int] = set()  # partitions whose first records were removed by retention

    def begin(self, partition: int, first_offset: int) -> None:
        """What is kept of a partition begins there."""
        if first_offset > 0:
            self._cut.add(partition)

    def see(self, event: Live, partition: int, place: str) -> None:
        """The next event of an attempt. A repetition of what was said is none; seq 0 is the seq of nothing."""
        key = (event.turn_id, event.attempt)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(place, begins=event.seq == 1 or partition not in self._cut)
        if stream.broken or not stream.begins:
            return
        if isinstance(event, AnswerEnded) and stream.ended is not None:
            same = (event.seq, event.length, event.status) == (
                stream.ended.seq,
                stream.ended.length,
                stream.ended.status,
            )
            stream.broken = not self.dense.that(
                same, place, f"the stream of turn {event.turn_id} ends twice, differently"
            )
            return
        if event.seq != stream.seq + 1:
            stream.broken = True
            self.dense.fail(
                place,
                f"turn {event.turn_id}: after seq {stream.seq} comes {event.seq}: {_missing(stream.seq, event.seq)}",
            )
            return
        stream.seq = event.seq
        self._follow(stream, event, place)

    def _follow(self, stream: Stream, event: Live, place: str) -> None:
        if isinstance(event, AnswerExtended):
            stream.text.update(event.text.encode())
            stream.position += len(event.text)
            if event.position != stream.position:
                stream.broken = True
                says = f"turn {event.turn_id}, seq {event.seq}: position {event.position}, {stream.position} were said"
                self.dense.fail(place, says)
        elif isinstance(event, AnswerEnded):
            stream.ended = event

    def endless(self, records: Iterable[AnswerRecorded]) -> bool:
        """Whether a stream of one of these records has no end yet."""
        streams = (self._streams.get((record.turn_id, record.attempt)) for record in records)
        return any(stream is not None and not stream.broken and stream.ended is None for stream in streams)

    def judge(self, record: AnswerRecorded, partition: int, place: str, since: int) -> None:
        """Compares the sealed attempt with its record; what retention may have taken is not judged."""
        stream = self._streams.pop((record.turn_id, record.attempt), None)
        recent = record.timings.claimed_at >= since or partition not in self._cut
        if stream is None or not stream.begins:
            if recent and record.occurred_at >= since:
                self.dense.fail(place, f"turn {record.turn_id}: nothing of its stream is there, or not its beginning")
            return
        if stream.broken:
            return
        self.dense.passed()
        if stream.ended is None:
            self.same.fail(place, f"turn {record.turn_id} is recorded, and its stream has no end")
            return
        ended = stream.ended
        said = (ended.seq, ended.length, ended.status, stream.position, stream.text.hexdigest())
        wanted = (record.seq, record.length, record.status, record.length, sha256_of(record.text))
        self.same.that(
            said == wanted,
            place,
            f"turn {record.turn_id}: its stream ended at seq {said[0]} with {said[3]} characters, {said[2]}; it is "
            f"recorded with seq {wanted[0]}, {wanted[1]} characters, {wanted[2]}"
            + (", and the texts differ" if said[4] != wanted[4] else ""),
        )


def sha256_of(content: Content) -> str:
    """Of the bytes, wherever they lie."""
    return content.object_sha256 or hashlib.sha256(content.inline or b"").hexdigest()


def _missing(before: int, now: int) -> str:
    return f"{now - before - 1} events are missing" if now > before else "it was there already"
