"""Replaying and verifying a log of a million events, beside a bare reading of all its bytes."""

import hashlib
import random
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

import infra.kafka.provision
import infra.registry.provision
from audit.choice import Choice
from audit.opened import open_replay
from audit.verify.verify import Verify
from benchmarks.target import Target
from infra.kafka.log import Log, partition_of
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.access import CollectionCreated
from schemas.answers import (
    AnswerEnded,
    AnswerExtended,
    AnswerRecorded,
    AnswerStarted,
    Citation,
    Permissions,
    Retrieved,
    ShownPassage,
    Timings,
    Usage,
    ViewOffset,
)
from schemas.codec import Codec
from schemas.documents import DocumentAccepted, Source
from schemas.event import Content, Event
from schemas.turns import Parameters, Retrieval, TurnRequested
from topics.catalogue import ACCESS_CHANGES, ANSWERS, ANSWERS_LIVE, DOCUMENTS, OURS, TURNS, Topic

DELTAS = 10
EVENTS_OF_A_TURN = DELTAS + 4
TURNS_OF_A_CONVERSATION = 10
HOURS = 20  # the log grew over so long; streams are kept for 24
WORDS = "word " * 6
PROMPT = "x" * 1500
USER, COLLECTION = "bench", "bench"


@dataclass(frozen=True)
class Made:
    """One event to put on the log, at a time of its own (ms since the Unix epoch)."""

    topic: Topic
    key: str
    event: Event
    at: int


async def measure(target: Target, events: int) -> list[dict[str, Any]]:
    """Makes the log in a namespace of its own, reads it in each way, and removes it."""
    async with _filled(target.settings, events) as (settings, known):
        log = Log(settings)
        begun, size = time.monotonic(), 0
        for topic in OURS:
            async for records in log.read(await log.spans(topic), lambda message: len(message.value() or b"") < 0):
                size += len(records)
        bare = time.monotonic() - begun
        rows = [{"what": "every byte, bare", "seconds": round(bare, 2), "records": known["events"], "of bare": 1.0}]
        choices = {
            "replay --turn": Choice(turn=known["turn"]),
            "replay --conversation": Choice(conversation=known["conversation"]),
            "replay --document": Choice(document=f"{COLLECTION}/7"),
            "replay --user": Choice(user=known["rare"]),
        }
        async with open_replay(settings, words=False) as replay:
            for name, choice in choices.items():
                begun = time.monotonic()
                told = await replay.told(choice)
                rows.append(_row(name, time.monotonic() - begun, told.found.read, bare) | {"lines": len(told.lines)})
        registry = RegistryClient(settings)
        report = await Verify(log, Codec(registry), registry).run()
        await registry.close()
        rows.append(_row("verify", report.seconds, report.records, bare) | {"failures": report.failed})
    return rows


def _row(what: str, seconds: float, records: int, bare: float) -> dict[str, Any]:
    return {"what": what, "seconds": round(seconds, 2), "records": records, "of bare": round(seconds / bare, 2)}


@asynccontextmanager
async def _filled(settings: Settings, events: int) -> AsyncIterator[tuple[Settings, dict[str, Any]]]:
    settings = settings.model_copy(update={"namespace": f"bench{secrets.token_hex(4)}-"})
    infra.kafka.provision.provision(settings, OURS)
    infra.registry.provision.provision(settings, OURS)
    try:
        registry = RegistryClient(settings)
        await registry.load(OURS)
        known = _fill(settings, Codec(registry), max(1, events // EVENTS_OF_A_TURN))
        await registry.close()
        yield settings, known
    finally:
        admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2})
        for future in admin.delete_topics([settings.kafka_name(topic) for topic in OURS]).values():
            future.result(30)


def _fill(settings: Settings, codec: Codec, turns: int) -> dict[str, Any]:
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "partitioner": "murmur2_random",
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    count, known = 0, dict[str, Any]()
    for made in _log(turns, known):
        encoded = codec.encode(made.topic.name, made.event)
        name = settings.kafka_name(made.topic)
        producer.produce(
            name, encoded.value, made.key, timestamp=made.at, headers=_headers(encoded.headers, made.event)
        )
        count += 1
        if count % 10_000 == 0:
            producer.poll(0)
            while len(producer) > 500_000:
                producer.poll(0.1)
    if producer.flush(120):
        raise RuntimeError("the broker did not take the log")
    return known | {"events": count}


def _headers(headers: list[tuple[str, bytes]], event: Event) -> list[tuple[str, bytes | str | None]]:
    named: list[tuple[str, bytes | str | None]] = [*headers]
    return [*named, ("turn_id", event.turn_id.encode())] if isinstance(event, TurnRequested) else named


def _log(turns: int, known: dict[str, Any]) -> Iterator[Made]:
    """A collection, documents, and conversations one after another; what is asked for later goes to `known`."""
    draw = random.Random(7)
    begin = int(time.time() * 1000) - HOURS * 3_600_000
    step = HOURS * 3_600_000 / turns
    created = CollectionCreated(collection_id=COLLECTION, name=COLLECTION, owner=USER, readers=["public"])
    yield Made(ACCESS_CHANGES, f"collection:{COLLECTION}", replace(created, occurred_at=begin), begin)
    for number in range(100):
        yield Made(DOCUMENTS, f"{COLLECTION}/{number}", _document(str(number)), begin)
    versions = _versions()
    conversation = ""
    for number in range(turns):
        at = begin + int(number * step)
        if number % TURNS_OF_A_CONVERSATION == 0:
            conversation = _uuid7(at, draw)
        user = "rare" if number % 5000 == 2500 else USER
        asked = _asked(_uuid7(at, draw), conversation, user, at)
        if number == turns // 2:
            known |= {"turn": asked.turn_id, "conversation": conversation}
        yield Made(TURNS, conversation, asked, at)
        yield from _answered(asked, versions[draw.randrange(100)], at)
    known["rare"] = "rare"


def _versions() -> list[tuple[str, int]]:
    """Document ids with the offset that each lies at: they are the first on their partitions, in this order."""
    seen: dict[int, int] = {}
    found = []
    for number in range(100):
        partition = partition_of(f"{COLLECTION}/{number}".encode(), DOCUMENTS.partitions)
        found.append((str(number), seen.get(partition, 0)))
        seen[partition] = seen.get(partition, 0) + 1
    return found


def _document(name: str) -> DocumentAccepted:
    text = f"Document {name} says what document {name} says."
    return DocumentAccepted(
        collection_id=COLLECTION, document_id=name, publisher=f"user:{USER}", content=Content.of(text),
        content_sha256=hashlib.sha256(text.encode()).hexdigest(), media_type="text/plain", source=Source(),
    )  # fmt: skip


def _asked(turn_id: str, conversation: str, user: str, at: int) -> TurnRequested:
    return TurnRequested(
        occurred_at=at, turn_id=turn_id, conversation_id=conversation, user_id=user, deadline=at + 3_600_000,
        model="words", question=Content.of("What does it say?"), retrieval=Retrieval(), parameters=Parameters(),
    )  # fmt: skip


def _answered(asked: TurnRequested, shown: tuple[str, int], at: int) -> Iterator[Made]:
    named: dict[str, Any] = {"turn_id": asked.turn_id, "attempt": at}
    yield Made(ANSWERS_LIVE, asked.conversation_id, AnswerStarted(**named, seq=1, retrieving=False), at)
    for number in range(DELTAS):
        delta = AnswerExtended(**named, seq=number + 2, position=(number + 1) * len(WORDS), text=WORDS)
        yield Made(ANSWERS_LIVE, asked.conversation_id, delta, at + 1)
    length, seq = DELTAS * len(WORDS), DELTAS + 2
    yield Made(ANSWERS, asked.conversation_id, _recorded(asked, shown, at, seq, length), at + 2)
    ended = AnswerEnded(**named, seq=seq, length=length, status="completed")
    yield Made(ANSWERS_LIVE, asked.conversation_id, ended, at + 2)


def _recorded(asked: TurnRequested, shown: tuple[str, int], at: int, seq: int, length: int) -> AnswerRecorded:
    passage = ShownPassage(
        number=1, collection_id=COLLECTION, document_id=shown[0], version=shown[1], passage=0, title=None, page=None,
        start=0, end=20, heading=[], score=1.0, score_text=1.0, score_vector=None,
    )  # fmt: skip
    views = [
        ViewOffset(topic=topic.name, partition=n, offset=100)
        for topic in (ACCESS_CHANGES, DOCUMENTS)
        for n in range(12)
    ]
    return AnswerRecorded(
        occurred_at=at, turn_id=asked.turn_id, conversation_id=asked.conversation_id, attempt=at, seq=seq,
        status="completed", parent_turn_id=None, text=Content.of(WORDS * DELTAS), length=length,
        citations=[Citation(number=1, position=5)], passages=[passage],
        retrieved=Retrieved(query=Content.of("What does it say?"), hits=1, walled=0, returned=1),
        prompt=Content.of(PROMPT), prompt_format="text", model="words", provider="triton", provider_model="words",
        parameters=Parameters(),
        permissions=Permissions(user_id=asked.user_id, principals=["public", f"user:{asked.user_id}"], views=views),
        usage=Usage(pieces=64), timings=Timings(requested_at=at, claimed_at=at, ended_at=at), events=[],
    )  # fmt: skip


def _uuid7(at: int, draw: random.Random) -> str:
    return str(uuid.UUID(int=at << 80 | 7 << 76 | draw.getrandbits(12) << 64 | 2 << 62 | draw.getrandbits(62)))
