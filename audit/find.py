"""Which records tell a story: of a turn, a conversation, a user, a document, or a stretch of time."""

import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass, field

from infra.kafka.log import Keys, Log, Wanted
from infra.kafka.records import Record
from schemas.answers import AnswerRecorded
from schemas.audit import AuditAccessed
from schemas.codec import Codec
from schemas.errors import Invalid, Undecodable
from schemas.event import Event
from schemas.turns import TurnRequested
from topics.catalogue import (
    ACCESS_CHANGES,
    ANSWERS,
    ANSWERS_LIVE,
    AUDIT_ACCESSES,
    CONVERSATION_CHANGES,
    DOCUMENT_STATUS,
    DOCUMENTS,
    TURN_STOPS,
    TURNS,
    Topic,
    document_key,
)

SKEW_MS = 60_000  # how far the clocks of those who name things and of the broker may be apart
SOON_MS = 600_000  # within this a turn's request lies on the log, unless the broker was away
TALK = (CONVERSATION_CHANGES, TURNS, TURN_STOPS, ANSWERS_LIVE, ANSWERS)
ORDER = {topic.name: number for number, topic in enumerate((ACCESS_CHANGES, *TALK, DOCUMENTS, DOCUMENT_STATUS))}
Heard = Callable[[str, int], None]  # a topic, and how many of its records have to be looked at


@dataclass(frozen=True)
class Entry:
    """A record and the event in it; `problem`: why nobody can read it."""

    record: Record
    event: Event | None
    problem: str | None = None

    @property
    def place(self) -> str:
        """topic/partition:offset."""
        return f"{self.record.topic}/{self.record.partition}:{self.record.offset}"


@dataclass(frozen=True)
class Found:
    """What was found, in order of time; `read`: records that had to be looked at for it."""

    entries: list[Entry] = field(default_factory=list)
    read: int = 0

    @property
    def turns(self) -> list[str]:
        """The turns in it, in order."""
        asked = (entry.event.turn_id for entry in self.entries if isinstance(entry.event, TurnRequested))
        recorded = (entry.event.turn_id for entry in self.entries if isinstance(entry.event, AnswerRecorded))
        return list(dict.fromkeys([*asked, *recorded]))


class Finder:
    """Finds on a log. `heard` is told what has to be looked at, and more than `most` records are refused (Invalid)."""

    def __init__(self, log: Log, codec: Codec, heard: Heard | None = None, most: int | None = None) -> None:
        self._log, self._codec, self._heard, self._most = log, codec, heard, most
        self._read = 0

    async def turn(self, turn_id: str) -> Found:
        """A turn: its request, its stops, every attempt that is still kept, its records, and who read them since."""
        request = await self._request(turn_id)
        if request is None or request.key is None:
            return self._found([])
        keys, since = {request.key}, request.timestamp_ms - SKEW_MS
        entries = [await self._entry(request, TURNS)]
        for topic in (TURN_STOPS, ANSWERS_LIVE, ANSWERS):
            entries += await self._keyed(topic, keys, since, {turn_id})
        return self._found([*entries, *await self._accesses({turn_id})])

    async def conversation(self, conversation_id: str) -> Found:
        """A conversation: all its turns."""
        since = _made_at(conversation_id)
        keys = {conversation_id.encode()}
        entries = [entry for topic in TALK for entry in await self._keyed(topic, keys, since)]
        return self._found([*entries, *await self._accesses(set(Found(entries).turns))])

    async def user(self, user_id: str, since: int | None = None, until: int | None = None) -> Found:
        """What a user asked and was answered, and what was changed of its rights."""
        needle = user_id.encode()
        asked = await self._scan((CONVERSATION_CHANGES, TURNS, TURN_STOPS), since, until, needle)
        own = [entry for entry in asked if getattr(entry.event, "user_id", None) == user_id]
        turns = set(Found(own).turns)
        rights = await self._scan((ACCESS_CHANGES,), since, until, needle)
        about = [entry for entry in rights if user_id in _people(entry.event)]
        return self._found([*own, *about, *await self._answers(turns, own, since), *await self._accesses(turns)])

    async def document(self, collection_id: str, document_id: str) -> Found:
        """A document: its versions, their receipts, and the answers whose model was shown it."""
        keys = {document_key(collection_id, document_id).encode()}
        own = [entry for topic in (DOCUMENTS, DOCUMENT_STATUS) for entry in await self._keyed(topic, keys, None)]
        first = min((entry.record.timestamp_ms for entry in own), default=None)
        shown = []
        if first is not None:
            for entry in await self._scan((ANSWERS,), first - SKEW_MS, None, document_id.encode()):
                passages = entry.event.passages if isinstance(entry.event, AnswerRecorded) else []
                if any((one.collection_id, one.document_id) == (collection_id, document_id) for one in passages):
                    shown.append(entry)
        return self._found([*own, *shown])

    async def between(self, since: int | None, until: int | None) -> Found:
        """Everything that was asked in some time, and what became of it."""
        asked = await self._scan((CONVERSATION_CHANGES, TURNS, TURN_STOPS), since, until)
        turns = set(Found(asked).turns)
        return self._found([*asked, *await self._answers(turns, asked, since)])

    async def accesses(self, since: int | None = None, until: int | None = None) -> Found:
        """Who read people's words, and why."""
        return self._found(await self._scan((AUDIT_ACCESSES,), since, until))

    async def _request(self, turn_id: str) -> Record | None:
        """Looked for around the time that its id names, and only then everywhere; its header names it, too."""
        made_at, needle = _made_at(turn_id), turn_id.encode()
        tries = [(made_at, made_at + SKEW_MS + SOON_MS)] if made_at is not None else []
        for since, until in [*tries, (made_at, None)]:
            async for records in self._records(TURNS, _holding(needle), since=since, until=until):
                for record in records:
                    if record.named_headers().get("turn_id") == needle:
                        return record
                    event = (await self._entry(record, TURNS)).event
                    if isinstance(event, TurnRequested) and event.turn_id == turn_id:
                        return record
        return None

    async def _answers(self, turns: Collection[str], asked: Iterable[Entry], since: int | None) -> list[Entry]:
        """The streams and records of some turns, from their partitions only."""
        keys = {key for entry in asked if isinstance(entry.event, TurnRequested) and (key := entry.record.key)}
        return [entry for topic in (ANSWERS_LIVE, ANSWERS) for entry in await self._keyed(topic, keys, since, turns)]

    async def _accesses(self, turns: Collection[str]) -> list[Entry]:
        found = await self._scan((AUDIT_ACCESSES,), None, None) if turns else []
        return [one for one in found if isinstance(one.event, AuditAccessed) and set(one.event.turns) & set(turns)]

    async def _keyed(
        self, topic: Topic, keys: Keys, since: int | None, turns: Collection[str] | None = None
    ) -> list[Entry]:
        """The events of some keys, from their partitions; of some turns only, or all. Unreadable ones are told, too."""
        entries = []
        async for records in self._records(topic, lambda message: message.key() in keys, since=since, keys=keys):
            for record in records:
                entry = await self._entry(record, topic)
                if turns is None or entry.event is None or getattr(entry.event, "turn_id", None) in turns:
                    entries.append(entry)
        return entries

    async def _scan(
        self, topics: Iterable[Topic], since: int | None, until: int | None, needle: bytes = b""
    ) -> list[Entry]:
        """Every event of some topics whose bytes hold `needle`."""
        entries = []
        for topic in topics:
            async for records in self._records(topic, _holding(needle), since=since, until=until):
                entries += [await self._entry(record, topic) for record in records]
        return entries

    async def _records(
        self, topic: Topic, wanted: Wanted, *, since: int | None, until: int | None = None, keys: Keys | None = None
    ) -> AsyncIterator[list[Record]]:
        if keys is not None and not keys:
            return
        spans = await self._log.spans(topic, keys=keys, since=since, until=until)
        to_read = sum(span.records for span in spans)
        if self._most is not None and self._read + to_read > self._most:
            raise Invalid(
                f"for this {self._read + to_read:,} records would be looked at, and {self._most:,} may: name a turn, a "
                "conversation or a shorter time, or use `turnlog replay` where the servers are"
            )
        if self._heard is not None and to_read:
            self._heard(topic.name, to_read)
        async for records in self._log.read(spans, wanted):
            yield records
        self._read += to_read

    async def _entry(self, record: Record, topic: Topic) -> Entry:
        try:
            event = await self._codec.decode(topic.name, topic.events, record.value, record.named_headers())
        except Undecodable as exc:
            return Entry(record, None, str(exc))
        return Entry(record, event)

    def _found(self, entries: list[Entry]) -> Found:
        return Found(sorted(entries, key=_when), self._read)


def _holding(needle: bytes) -> Wanted:
    return lambda message: needle in (message.value() or b"")


def _made_at(named: str) -> int | None:
    """When a UUIDv7 was made, less what clocks may be apart (ms since the Unix epoch); None: it is no UUIDv7."""
    try:
        found = uuid.UUID(named)
    except ValueError:
        return None
    return max(0, (found.int >> 80) - SKEW_MS) if found.version == 7 else None


def _people(event: Event | None) -> set[str]:
    """The users that a change of rights names."""
    named = ("user_id", "owner", "created_by", "changed_by", "deleted_by", "revoked_by")
    return {str(value) for name in named if (value := getattr(event, name, None)) is not None}


def _when(entry: Entry) -> tuple[int, int, int, int]:
    order = ORDER.get(entry.record.topic, len(ORDER))
    return entry.record.timestamp_ms, order, entry.record.partition, entry.record.offset
