"""Reads the whole log once, from its end backwards in cause: what comes of something is read before it."""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from audit.verify.checks import Check, Report
from audit.verify.history import Collections, Documents
from audit.verify.shown import Shown
from audit.verify.streams import Streams, sha256_of
from infra.kafka.log import Log, Span
from infra.kafka.records import Record
from schemas.access import CollectionCreated, CollectionDeleted, CollectionReadersChanged
from schemas.answers import (
    AnswerEnded,
    AnswerExtended,
    AnswerRecorded,
    AnswerStarted,
    AnswerWaiting,
    PassagesRetrieved,
)
from schemas.codec import FRAME, Codec, Registry
from schemas.delivery import DeadLetter
from schemas.documents import DocumentAccepted, DocumentWithdrawn
from schemas.errors import Unavailable, Undecodable
from schemas.event import Content, Event, now_ms
from schemas.turns import TurnRequested
from topics.catalogue import (
    ACCESS_CHANGES,
    ANSWERS,
    ANSWERS_LIVE,
    AUDIT_ACCESSES,
    CONVERSATION_CHANGES,
    DEAD_LETTERS,
    DOCUMENT_STATUS,
    DOCUMENTS,
    TURN_STOPS,
    TURNS,
    Topic,
)

LIVE_MS = 24 * 3600 * 1000
GRACE_MS = 15 * 60 * 1000  # how long after its deadline a turn may have no record: a server may be away that long
# What comes of something is read before it, so that a log that grows meanwhile shows no effect without its cause. Only
# the end of a stream comes after the record: it is looked for again.
ORDER = (
    ANSWERS_LIVE, ANSWERS, TURNS, TURN_STOPS, CONVERSATION_CHANGES, DOCUMENT_STATUS, DOCUMENTS, ACCESS_CHANGES,
    AUDIT_ACCESSES, DEAD_LETTERS,
)  # fmt: skip
END_TRIES = 3
NEW_MS = 60_000
Heard = Callable[[str, int], None]


@dataclass(frozen=True)
class _Asked:
    place: str
    sha256: bytes
    deadline: int
    user_id: str


@dataclass(frozen=True)
class _Recorded:
    place: str
    partition: int
    sha256: bytes
    record: AnswerRecorded


class Verify:
    """One reading. Memory grows with the number of turns and documents, not with what was said."""

    def __init__(self, log: Log, codec: Codec, registry: Registry, heard: Heard | None = None) -> None:
        self._log, self._codec, self._registry, self._heard = log, codec, registry, heard
        self.read = Check("records can be read")
        self.known = Check("schema ids are known to the registry")
        self.answered = Check("turns have exactly one record")
        self.askers = Check("rights recorded are the asker's")
        self.repeated = Check("what is said twice is the same, byte by byte")
        self._documents, self._collections = Documents(), Collections()
        self._streams, self._shown = Streams(), Shown(self._documents, self._collections)
        self._asked: dict[str, _Asked] = {}
        self._recorded: dict[str, _Recorded] = {}
        self._unread: Counter[tuple[str, int]] = Counter()
        self._ids: dict[tuple[str, int], str] = {}
        self._dead = 0
        self._live: dict[int, int] = {}  # up to where `answers-live` was read

    async def run(self) -> Report:
        """Raises Unavailable while the broker is away; a registry that is away is told in the report."""
        begun, now = time.monotonic(), now_ms()
        for topic in ORDER:
            await self._topic(topic)
        await self._ends(now)
        await self._schemas()
        open_turns = self._judge(now)
        notes = [f"{open_turns} turns are not answered yet, and have time left"] if open_turns else []
        if self._dead:
            notes.append(
                f"{self._dead} records were set aside on dead-letters: docs/operating.md says what to do with them"
            )
        checks = [
            self.read, self.known, self.answered, self.repeated, self._streams.dense, self._streams.same,
            self.askers, self._shown.cited, self._shown.existed, self._shown.readable,
        ]  # fmt: skip
        return Report(checks, notes, self.read.checked, time.monotonic() - begun)

    async def _topic(self, topic: Topic) -> None:
        spans = await self._log.spans(topic)
        if self._heard is not None:
            self._heard(topic.name, sum(span.records for span in spans))
        if topic is ANSWERS_LIVE:
            for span in spans:
                self._streams.begin(span.partition, span.start)
        await self._read(spans, topic)

    async def _ends(self, now: int) -> None:
        """Reads on until streams whose records are new have their ends, for some seconds."""
        for _ in range(END_TRIES):
            spans = [
                replace(one, start=self._live.get(one.partition, 0)) for one in await self._log.spans(ANSWERS_LIVE)
            ]
            await self._read(spans, ANSWERS_LIVE)
            new = (one.record for one in self._recorded.values() if one.record.occurred_at > now - NEW_MS)
            if not self._streams.endless(new):
                return
            await asyncio.sleep(1)

    async def _read(self, spans: list[Span], topic: Topic) -> None:
        async for records in self._log.read(spans):
            for record in records:
                await self._record(record, topic)
        if topic is ANSWERS_LIVE:
            self._live |= {span.partition: span.end for span in spans}

    async def _record(self, record: Record, topic: Topic) -> None:
        place = f"{topic.name}/{record.partition}:{record.offset}"
        if record.value and record.value[0] == 0 and len(record.value) >= FRAME.size:
            self._ids.setdefault((topic.name, FRAME.unpack_from(record.value)[1]), place)
        try:
            event = await self._codec.decode(topic.name, topic.events, record.value, record.named_headers())
        except Undecodable as exc:
            self._unread[topic.name, record.partition] += 1
            self.read.fail(place, str(exc))
            return
        self.read.passed()
        self._see(event, record, place)

    def _see(self, event: Event, record: Record, place: str) -> None:
        match event:
            case AnswerStarted() | AnswerExtended() | AnswerWaiting() | PassagesRetrieved() | AnswerEnded():
                self._streams.see(event, record.partition, place)
            case AnswerRecorded():
                self._see_record(event, record, place)
            case TurnRequested():
                self._see_request(event, record, place)
            case DeadLetter():
                self._dead += 1
            case DocumentAccepted() | DocumentWithdrawn():
                self._documents.see(event, record.partition, record.offset)
            case CollectionCreated() | CollectionReadersChanged() | CollectionDeleted():
                self._collections.see(event, record.partition, record.offset)

    def _see_request(self, event: TurnRequested, record: Record, place: str) -> None:
        sha256 = hashlib.sha256(record.value or b"").digest()
        first = self._asked.get(event.turn_id)
        if first is None:
            self._asked[event.turn_id] = _Asked(place, sha256, event.deadline, event.user_id)
        else:
            says = f"turn {event.turn_id} was asked a second time with other bytes; the first is at {first.place}"
            self.repeated.that(sha256 == first.sha256, place, says)

    def _see_record(self, event: AnswerRecorded, record: Record, place: str) -> None:
        sha256 = hashlib.sha256(record.value or b"").digest()
        first = self._recorded.get(event.turn_id)
        if first is None:
            self._recorded[event.turn_id] = _Recorded(place, record.partition, sha256, _without_words(event))
            return
        says = f"turn {event.turn_id} has a second record with other bytes; the first is at {first.place}"
        self.repeated.that(sha256 == first.sha256, place, says)

    def _judge(self, now: int) -> int:
        """Everything that can be said only once all was read; gives the number of turns that may yet be answered."""
        open_turns = 0
        for turn_id, asked in self._asked.items():
            if turn_id in self._recorded:
                self.answered.passed()
            elif asked.deadline + GRACE_MS > now:
                open_turns += 1
            else:
                self.answered.fail(asked.place, f"turn {turn_id} was asked, and has no record")
        for turn_id, recorded in self._recorded.items():
            if turn_id not in self._asked and not self._unread[TURNS.name, recorded.partition]:
                self.answered.fail(recorded.place, f"turn {turn_id} has a record, and nobody asked it")
            self._judge_asker(recorded)
            self._streams.judge(recorded.record, recorded.partition, recorded.place, now - LIVE_MS)
            self._shown.judge(recorded.record, recorded.place)
        return open_turns

    def _judge_asker(self, recorded: _Recorded) -> None:
        asked, rights = self._asked.get(recorded.record.turn_id), recorded.record.permissions
        if asked is not None and rights is not None:
            says = f"turn {recorded.record.turn_id} was asked by {asked.user_id}, and answered as {rights.user_id}"
            self.askers.that(rights.user_id == asked.user_id, recorded.place, says)

    async def _schemas(self) -> None:
        known: dict[int, Any] = {}
        try:
            for (topic, schema_id), place in self._ids.items():
                if schema_id not in known:
                    known[schema_id] = await self._registry.schema_of(schema_id)
                says = f"schema id {schema_id} on {topic} is unknown to the registry"
                self.known.that(known[schema_id] is not None, place, says)
        except Unavailable as exc:
            self.known.skipped = str(exc)


def _without_words(event: AnswerRecorded) -> AnswerRecorded:
    """What is judged of a record, and the hash of its text."""
    text = Content(object_sha256=sha256_of(event.text), size=event.text.size)
    return replace(event, text=text, prompt=Content(size=0), events=[], retrieved=None)
