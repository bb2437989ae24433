"""The table of outcomes, cell by cell, on a real broker, registry and database."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from infra.kafka.records import NOTHING, Output, Outputs, Received, Record
from schemas.codec import Codec
from schemas.delivery import DeadLetter
from schemas.documents import (
    DocumentAccepted,
    DocumentFailed,
    DocumentIndexed,
    DocumentPublished,
    DocumentRetracted,
    DocumentWithdrawn,
    Source,
)
from schemas.errors import Invalid, Refused, Unavailable, Undecodable
from schemas.event import Event
from schemas.versions import Json, latest
from streams.dead_letters import Burial, StopWorker
from streams.metrics import WorkerMetrics
from streams.step import Delivery, Step
from tests.examples import example
from tests.streams.conftest import Stand
from topics.catalogue import DEAD_LETTERS, DOCUMENT_STATUS, DOCUMENTS, DOCUMENTS_LOCAL, TURNS

Handle = Callable[[Received[Any]], Any]


async def nothing(_: Received[Any]) -> Outputs:
    """Done, and nothing to say."""
    return NOTHING


async def told(received: Received[Any], error: Exception) -> Outputs:
    """What a step says of a failure."""
    event = DocumentFailed(
        collection_id="c", document_id=received.event.document_id, version=received.offset, stage="index",
        code="it-failed", reason=f"{type(error).__name__}: {error}", source=Source(),
    )  # fmt: skip
    return [Output(DOCUMENT_STATUS, received.key.decode(), event)]


def steps(handle: Handle, **more: Any) -> tuple[Step[Any], Step[Any]]:
    """Both steps of `documents`; the test's own handler takes withdrawals."""
    return Step(DOCUMENTS, DocumentWithdrawn, handle, **{"failed": told} | more), Step(
        DOCUMENTS, DocumentAccepted, nothing
    )


def withdrawn(name: str) -> DocumentWithdrawn:
    return DocumentWithdrawn(collection_id="c", document_id=name, publisher="user:ann", source=Source())


async def receipts(stand: Stand, name: str) -> list[Event]:
    """Everything that was said of a document."""
    found = await stand.events(DOCUMENT_STATUS)
    return [event for event in found if getattr(event, "document_id", None) == name]


async def letters(stand: Stand, record: Record) -> list[DeadLetter]:
    """The dead letters of a record."""
    found = await stand.events(DEAD_LETTERS)
    return [event for event in found if isinstance(event, DeadLetter) and event.offset == record.offset]


class Calls:
    """A handler that raises what it is given, one after another, and then is done."""

    def __init__(self, *raises: Exception) -> None:
        self.raises, self.count = list(raises), 0

    async def handle(self, _: Received[Any]) -> Outputs:
        self.count += 1
        if self.raises:
            raise self.raises.pop(0)
        return NOTHING


# done


async def test_what_a_handler_gives_is_on_its_topic_when_the_record_may_be_acked(stand: Stand) -> None:
    indexed = replace(example(DocumentIndexed), document_id="done")

    async def handle(received: Received[Any]) -> Outputs:
        return [Output(DOCUMENT_STATUS, received.key.decode(), indexed, received.partition)]

    await stand.delivery(*steps(handle)).deliver(stand.record(DOCUMENTS, withdrawn("done"), key=b"c/done"))
    assert await receipts(stand, "done") == [indexed]


async def test_a_handler_sees_event_place_key_time_and_headers(stand: Stand) -> None:
    seen: list[Received[Any]] = []

    async def handle(received: Received[Any]) -> Outputs:
        seen.append(received)
        return NOTHING

    event = withdrawn("seen")
    record = stand.record(DOCUMENTS, event, key=b"c/seen")
    await stand.delivery(*steps(handle)).deliver(record)
    (found,) = seen
    assert (found.event, found.topic, found.partition, found.offset) == (event, "documents", 3, record.offset)
    assert (found.key, found.timestamp_ms) == (b"c/seen", 1_700_000_000_000)
    assert found.headers["type"] == b"DocumentWithdrawn"


# invalid, refused


@pytest.mark.parametrize(
    "error", [Invalid("no such page"), Refused("not for you")], ids=lambda error: type(error).__name__
)
async def test_invalid_and_refused_are_told_where_the_sender_looks_and_are_never_dead_letters(
    stand: Stand, error: Exception
) -> None:
    name = f"told-{type(error).__name__}"
    calls = Calls(error)
    record = stand.record(DOCUMENTS, withdrawn(name))
    await stand.delivery(*steps(calls.handle)).deliver(record)
    assert [getattr(event, "reason", "") for event in await receipts(stand, name)] == [
        f"{type(error).__name__}: {error}"
    ]
    assert await letters(stand, record) == []
    assert calls.count == 1


async def test_invalid_at_a_step_that_has_nobody_to_tell_is_a_dead_letter(stand: Stand) -> None:
    record = stand.record(DOCUMENTS, withdrawn("nobody"))
    await stand.delivery(*steps(Calls(Invalid("no")).handle, failed=None)).deliver(record)
    (letter,) = await letters(stand, record)
    assert (letter.reason, letter.value) == ("no", record.value)


async def test_an_output_too_large_for_a_record_is_the_handlers_failure(stand: Stand) -> None:
    huge = replace(example(DocumentIndexed), document_id="huge", outcome="x" * 3_000_000)

    async def handle(_: Received[Any]) -> Outputs:
        return [Output(DOCUMENT_STATUS, "k", huge)]

    await stand.delivery(*steps(handle)).deliver(stand.record(DOCUMENTS, withdrawn("huge")))
    (said,) = await receipts(stand, "huge")
    assert isinstance(said, DocumentFailed)
    assert "bytes; a record holds" in said.reason


async def test_a_failure_that_cannot_be_told_is_a_dead_letter(stand: Stand) -> None:
    async def broken(_: Received[Any], __: Exception) -> Outputs:
        raise ZeroDivisionError

    record = stand.record(DOCUMENTS, withdrawn("untold"))
    await stand.delivery(*steps(Calls(Invalid("the cause")).handle, failed=broken)).deliver(record)
    assert [letter.reason for letter in await letters(stand, record)] == ["the cause"]


# undecodable


def garbage(stand: Stand) -> Record:
    return stand.record(DOCUMENTS, withdrawn("x"), value=b"not avro", headers=(("h", b"1"), ("h", b"2"), ("n", None)))


def unknown_id(stand: Stand) -> Record:
    return stand.record(DOCUMENTS, withdrawn("x"), value=b"\0\x7f\xff\xff\xff" + b"body", headers=())


def other_type(stand: Stand) -> Record:
    encoded = stand.codec.encode(DOCUMENT_STATUS.name, example(DocumentIndexed))
    return stand.record(DOCUMENTS, withdrawn("x"), value=encoded.value, headers=tuple(encoded.headers))


def no_key(stand: Stand) -> Record:
    return stand.record(DOCUMENTS, withdrawn("x"), key=None)


def empty_key(stand: Stand) -> Record:
    return stand.record(DOCUMENTS, withdrawn("x"), key=b"")


def odd_key(stand: Stand) -> Record:
    return stand.record(DOCUMENTS, withdrawn("x"), key=b"\xff\xfe")


def tombstone(stand: Stand) -> Record:
    return stand.record(DOCUMENTS, withdrawn("x"), value=None)


def cut_short(stand: Stand) -> Record:
    whole = stand.record(DOCUMENTS, withdrawn("x"))
    return replace(whole, value=(whole.value or b"")[:-3])


UNREADABLE = [garbage, unknown_id, other_type, no_key, empty_key, odd_key, tombstone, cut_short]


@pytest.mark.parametrize("made", UNREADABLE, ids=lambda made: made.__name__)
async def test_what_cannot_be_read_is_a_dead_letter_with_bytes_headers_and_place(
    stand: Stand, made: Callable[[Stand], Record]
) -> None:
    record, calls = made(stand), Calls()
    await stand.delivery(*steps(calls.handle)).deliver(record)
    (letter,) = await letters(stand, record)
    assert (letter.key, letter.value, letter.value_sha256) == (record.key, record.value, None)
    assert [(header.name, header.value) for header in letter.headers] == list(record.headers)
    assert (letter.topic, letter.partition, letter.offset) == ("documents", 3, record.offset)
    assert (letter.timestamp, letter.worker) == (1_700_000_000_000, f"{stand.settings.namespace}documents")
    assert letter.reason
    assert calls.count == 0


async def test_an_oversized_record_is_a_dead_letter_whose_bytes_lie_in_object_storage(stand: Stand) -> None:
    value = b"\0" * (3 * 1024 * 1024)
    record = stand.record(DOCUMENTS, withdrawn("x"), value=value)
    await stand.delivery(*steps(nothing)).deliver(record)
    (letter,) = await letters(stand, record)
    assert (letter.value, letter.value_sha256) == (None, hashlib.sha256(value).hexdigest())
    assert "bytes; at most 2097152 are allowed" in letter.reason
    assert await stand.objects.get(letter.value_sha256 or "") == value


async def test_a_record_just_below_the_limit_still_fits_into_its_dead_letter(stand: Stand) -> None:
    value = b"x" * (stand.settings.limits.record_bytes - 100)
    record = stand.record(DOCUMENTS, withdrawn("x"), value=value, headers=())
    await stand.delivery(*steps(nothing)).deliver(record)
    (letter,) = await letters(stand, record)
    assert await stand.objects.get(letter.value_sha256 or "") == value


async def test_a_record_of_a_million_empty_headers_is_a_dead_letter(stand: Stand) -> None:
    record = stand.record(DOCUMENTS, withdrawn("x"), headers=(("", b""),) * 1_000_000)
    await stand.delivery(*steps(nothing)).deliver(record)
    (letter,) = await letters(stand, record)
    assert letter.reason.startswith("a record of 8")
    (header,) = letter.headers
    assert (await stand.objects.get((header.value or b"").decode())).count(b'["", ""]') == 1_000_000


async def test_a_dead_letter_that_is_larger_than_was_reckoned_lies_in_object_storage_whole(stand: Stand) -> None:
    limits = stand.settings.limits.model_copy(update={"record_bytes": 8 * 1024 * 1024})
    generous = stand.settings.model_copy(update={"limits": limits})
    metrics = WorkerMetrics(CollectorRegistry())
    burial = Burial(generous, "documents", stand.publisher, stand.objects, metrics, frozenset())
    record = stand.record(DOCUMENTS, withdrawn("x"), value=b"?" * 3_000_000)
    await burial.bury(record, "a test")
    (letter,) = await letters(stand, record)
    assert (letter.key, letter.value) == (None, None)
    assert await stand.objects.get(letter.value_sha256 or "") == record.value


async def test_a_record_with_enormous_headers_keeps_them_in_object_storage(stand: Stand) -> None:
    record = stand.record(DOCUMENTS, withdrawn("x"), key=b"k" * 1000, headers=(("h", b"x" * 3_000_000),))
    await stand.delivery(*steps(nothing)).deliver(record)
    (letter,) = await letters(stand, record)
    (header,) = letter.headers
    assert header.name == "turnlog-envelope-sha256"
    assert len(await stand.objects.get((header.value or b"").decode())) > 4_000_000
    assert letter.value == record.value


async def test_any_bytes_may_be_the_key_of_an_inbox(stand: Stand) -> None:
    calls = Calls()
    inbox = (
        Step(DOCUMENTS_LOCAL, DocumentPublished, calls.handle),
        Step(DOCUMENTS_LOCAL, DocumentRetracted, calls.handle),
    )
    published = stand.record(DOCUMENTS_LOCAL, example(DocumentPublished), key=b"\xff\x00\x01")
    await stand.delivery(*inbox).deliver(published)
    assert calls.count == 1


async def test_the_worker_says_besides_what_an_unreadable_record_was_about(stand: Stand) -> None:
    async def say(record: Record, error: Undecodable) -> Outputs:
        name = record.named_headers()["turn_id"].decode()
        failed = replace(example(DocumentFailed), document_id=name, reason=str(error))
        return [Output(DOCUMENT_STATUS, name, failed)]

    record = stand.record(DOCUMENTS, withdrawn("x"), value=b"?", headers=(("turn_id", b"named"),))
    await stand.delivery(*steps(nothing), undecodable=say).deliver(record)
    assert len(await receipts(stand, "named")) == 1
    assert len(await letters(stand, record)) == 1


async def test_a_failure_to_say_so_does_not_bury_the_record_again_and_again(stand: Stand) -> None:
    async def say(_: Record, __: Undecodable) -> Outputs:
        raise ZeroDivisionError

    record = garbage(stand)
    await stand.delivery(*steps(nothing), undecodable=say).deliver(record)
    assert len(await letters(stand, record)) == 1


# unavailable


class RegistryAway:
    """The real one cannot be away for just three calls."""

    def __init__(self) -> None:
        self.away = 3

    def id_of(self, _: str, __: str) -> int:
        raise AssertionError

    async def schema_of(self, _: int) -> Json | None:
        self.away -= 1
        if self.away >= 0:
            raise Unavailable("registry", "connection refused")
        return latest("DocumentRetracted").schema


async def test_an_outsiders_record_waits_for_the_registry_and_is_not_taken_for_unreadable(stand: Stand) -> None:
    calls, registry = Calls(), RegistryAway()
    inbox = (
        Step(DOCUMENTS_LOCAL, DocumentPublished, nothing),
        Step(DOCUMENTS_LOCAL, DocumentRetracted, calls.handle),
    )
    record = stand.record(DOCUMENTS_LOCAL, example(DocumentRetracted), headers=())
    await stand.delivery(*inbox, codec=Codec(registry)).deliver(record)
    assert (calls.count, registry.away) == (1, -1)
    assert await letters(stand, record) == []


async def test_a_handler_without_its_server_waits_tells_it_and_no_try_is_counted(stand: Stand) -> None:
    calls, heard = Calls(*[Unavailable("triton", "refused")] * 20), []

    async def waiting(received: Received[Any], error: Unavailable) -> None:
        heard.append((received.event.document_id, error.server))

    record = stand.record(DOCUMENTS, withdrawn("waits"))
    await stand.delivery(*steps(calls.handle, waiting=waiting)).deliver(record)
    assert (calls.count, heard) == (21, [("waits", "triton")] * 20)
    assert await receipts(stand, "waits") == []
    assert await stand.tries() == []


async def test_a_waiting_event_holds_no_running_slot(stand: Stand) -> None:
    running, there = asyncio.Semaphore(1), asyncio.Event()

    async def handle(received: Received[Any]) -> Outputs:
        if received.event.document_id == "without" and not there.is_set():
            raise Unavailable("triton")
        return NOTHING

    delivery = stand.delivery(*steps(handle, running=running))
    waiting = asyncio.create_task(delivery.deliver(stand.record(DOCUMENTS, withdrawn("without"))))
    async with asyncio.timeout(60):
        while not delivery.patience.waiting:
            await asyncio.sleep(0)
        await delivery.deliver(stand.record(DOCUMENTS, withdrawn("beside")))
        assert not waiting.done()
        there.set()
        await waiting


async def test_who_is_told_of_a_wait_may_end_it(stand: Stand) -> None:
    async def waiting(_: Received[Any], __: Unavailable) -> None:
        raise Refused("waited long enough")

    calls = Calls(*[Unavailable("triton")] * 3)
    await stand.delivery(*steps(calls.handle, waiting=waiting)).deliver(stand.record(DOCUMENTS, withdrawn("enough")))
    (said,) = await receipts(stand, "enough")
    assert (calls.count, getattr(said, "reason", "")) == (1, "Refused: waited long enough")


async def test_a_failure_is_told_when_the_server_for_it_is_back(stand: Stand) -> None:
    away = [Unavailable("postgres")] * 2

    async def failed(received: Received[Any], error: Exception) -> Outputs:
        if away:
            raise away.pop()
        return await told(received, error)

    await stand.delivery(*steps(Calls(Invalid("no")).handle, failed=failed)).deliver(
        stand.record(DOCUMENTS, withdrawn("later"))
    )
    assert len(await receipts(stand, "later")) == 1


# a handler crashes


async def test_a_crash_is_tried_again_and_its_count_is_forgotten_once_it_is_done(stand: Stand) -> None:
    counted = []

    async def handle(_: Received[Any]) -> Outputs:
        counted.append(await stand.tries())
        if len(counted) < 3:
            raise ZeroDivisionError
        return NOTHING

    record = stand.record(DOCUMENTS, withdrawn("crashes"))
    await stand.delivery(*steps(handle)).deliver(record)
    assert counted == [[], [(record.offset, 1)], [(record.offset, 2)]]
    assert await stand.tries() == []
    assert await receipts(stand, "crashes") == []


async def test_after_its_tries_a_crash_has_failed_and_a_restart_goes_on_counting(stand: Stand) -> None:
    calls, record = Calls(*[ZeroDivisionError("our bug")] * 9), stand.record(DOCUMENTS, withdrawn("bug"))
    first = asyncio.create_task(stand.delivery(*steps(calls.handle), backoff=lambda _: 60).deliver(record))
    async with asyncio.timeout(60):
        while not await stand.tries():
            await asyncio.sleep(0.01)
    first.cancel()  # the process ends while it backs off
    with pytest.raises(asyncio.CancelledError):
        await first
    await stand.delivery(*steps(calls.handle)).deliver(record)
    (said,) = await receipts(stand, "bug")
    assert (calls.count, getattr(said, "reason", "")) == (3, "ZeroDivisionError: our bug")
    assert await stand.tries() == []


async def test_a_handler_that_cancels_itself_crashed(stand: Stand) -> None:
    async def handle(_: Received[Any]) -> Outputs:
        inner = asyncio.create_task(asyncio.sleep(60))
        inner.cancel()
        await inner
        return NOTHING

    await stand.delivery(*steps(handle)).deliver(stand.record(DOCUMENTS, withdrawn("itself")))
    (said,) = await receipts(stand, "itself")
    assert "cancelled itself" in getattr(said, "reason", "")


# cancelled


async def test_a_cancellation_passes_through_and_nothing_is_said(stand: Stand) -> None:
    started = asyncio.Event()

    async def handle(_: Received[Any]) -> Outputs:
        started.set()
        await asyncio.sleep(60)
        return NOTHING

    record = stand.record(DOCUMENTS, withdrawn("cancelled"))
    delivering = asyncio.create_task(stand.delivery(*steps(handle)).deliver(record))
    await asyncio.wait_for(started.wait(), 60)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert await receipts(stand, "cancelled") == []
    assert await stand.tries() == []


# the stop rule


def limit(stand: Stand) -> int:
    return stand.settings.limits.dead_letters_in_a_row


async def bury(stand: Stand, delivery: Delivery, times: int) -> None:
    for _ in range(times):
        await delivery.deliver(garbage(stand))


async def test_twenty_dead_letters_in_a_row_on_a_topic_of_ours_stop_the_worker(stand: Stand) -> None:
    delivery = stand.delivery(*steps(nothing))
    assert limit(stand) == 20
    await bury(stand, delivery, 19)
    last = garbage(stand)
    with pytest.raises(StopWorker, match="20 dead letters in a row on documents"):
        await delivery.deliver(last)
    assert len(await letters(stand, last)) == 1, "the twentieth is kept, too; it is only not acked"


async def test_a_readable_record_ends_the_row(stand: Stand) -> None:
    delivery = stand.delivery(*steps(nothing))
    await bury(stand, delivery, 19)
    await delivery.deliver(stand.record(DOCUMENTS, withdrawn("readable")))
    await bury(stand, delivery, 19)


async def test_a_readable_record_that_lies_behind_the_row_but_is_done_first_does_not_end_it(stand: Stand) -> None:
    delivery = stand.delivery(*steps(nothing))
    row, behind = [garbage(stand) for _ in range(20)], stand.record(DOCUMENTS, withdrawn("behind"))
    for record in row[:10]:
        await delivery.deliver(record)
    await delivery.deliver(behind)
    for record in row[10:19]:
        await delivery.deliver(record)
    with pytest.raises(StopWorker):
        await delivery.deliver(row[19])


async def test_dead_letters_of_an_inbox_only_alarm(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    delivery = stand.delivery(*steps(nothing), ours=False)
    await bury(stand, delivery, 41)
    assert "alarm: an inbox" in "".join(capsys.readouterr())


# wiring


def test_each_event_of_a_consumed_topic_needs_exactly_one_step(stand: Stand) -> None:
    one, other = steps(nothing)
    with pytest.raises(ValueError, match="DocumentAccepted"):
        stand.delivery(one)
    with pytest.raises(ValueError, match="doubles"):
        stand.delivery(one, one, other)
    assert TURNS.ours
