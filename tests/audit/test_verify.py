"""What `turnlog verify` promises to catch: each defect planted in a log that is real and whole otherwise."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from audit.verify.checks import Report
from audit.verify.verify import Verify
from infra.kafka.log import Log, Span, Wanted, everything
from infra.kafka.records import Record
from infra.postgres.freshness import Freshness
from infra.registry.client import RegistryClient
from schemas.access import CollectionReadersChanged
from schemas.answers import AnswerEnded, AnswerExtended, AnswerRecorded, AnswerStarted, Citation, Permissions
from schemas.codec import Codec, Encoded
from schemas.documents import DocumentAccepted
from schemas.event import Content, Event
from schemas.turns import TurnRequested
from tests.api.house import House
from tests.audit.conftest import Audited
from tests.kafka_reading import all_of
from topics.catalogue import ACCESS_CHANGES, ANSWERS, DOCUMENTS, TURNS, Topic

Edit = Callable[[Event], Iterable[Event]]
DAY_MS = 24 * 3600 * 1000


class Edited(Log):
    """The log as it would be if each event were what `edit` makes of it: none, itself, another, or more."""

    def __init__(self, house: House, codec: Codec, edit: Edit, cut: bool = False) -> None:
        super().__init__(house.settings)
        self._house, self._codec, self._edit, self._cut = house, codec, edit, cut

    async def spans(self, topic: Topic, **more: Any) -> list[Span]:
        """As they are, or as if retention had removed what came first."""
        found = await super().spans(topic, **more)
        return [replace(span, start=span.start + 1) if self._cut else span for span in found]

    async def read(self, spans: Iterable[Span], wanted: Wanted = everything) -> AsyncIterator[list[Record]]:
        """The records, with edited bytes."""
        kept = list(spans)
        topics = {span.topic.name: span.topic for span in kept}
        async for records in super().read(kept, wanted):
            yield [new for record in records for new in await self._edited(record, topics[record.topic])]

    async def _edited(self, record: Record, topic: Topic) -> list[Record]:
        event = await self._codec.decode(topic.name, topic.events, record.value, record.named_headers())
        made: list[Record] = []
        for after in self._edit(event):
            same = after is event
            made.append(record if same else replace(record, value=self._house.publisher.encode(topic, after).value))
        return made


async def verified(audited: Audited, edit: Edit, *, cut: bool = False) -> Report:
    """What verify says of the edited log."""
    house = audited.asking.house
    registry = RegistryClient(house.settings)
    try:
        codec = Codec(registry)
        return await Verify(Edited(house, codec, edit, cut), codec, registry).run()
    finally:
        await registry.close()


def failures(report: Report) -> list[str]:
    """What it says, check by check."""
    return [failure.says for check in report.checks for failure in check.failures]


def unchanged(event: Event) -> list[Event]:
    return [event]


def only(kind: type[Event], change: Callable[[Any], Iterable[Event]]) -> Edit:
    """Edits events of one type."""
    return lambda event: change(event) if isinstance(event, kind) else [event]


def changed(kind: type[Event], **fields: Any) -> Edit:
    """Gives every event of a type other fields."""
    return only(kind, lambda event: [replace(event, **fields)])


async def test_a_log_that_is_whole_passes_and_says_what_was_checked(audited: Audited) -> None:
    report = await verified(audited, unchanged)
    assert failures(report) == []
    assert [check.name for check in report.checks if not check.checked and "twice" not in check.name] == []
    ran = await audited.turnlog("verify")
    assert ran.code == 0, ran.text + ran.err
    assert "everything held" in ran.err
    assert "turns have exactly one record" in ran.text


def without_offsets_of(topic: Topic) -> Edit:
    """Records that do not say how far a topic was folded."""

    def less(rights: Permissions) -> Permissions:
        return replace(rights, views=[view for view in rights.views if view.topic != topic.name])

    return only(
        AnswerRecorded, lambda e: [replace(e, permissions=less(e.permissions)) if e.permissions is not None else e]
    )


def test_a_record_says_of_partitions_without_a_record_that_nothing_is_folded() -> None:
    told = Freshness().offsets((DOCUMENTS, ACCESS_CHANGES))
    assert told == {(topic.name, n): 0 for topic in (DOCUMENTS, ACCESS_CHANGES) for n in range(topic.partitions)}


def last_delta(event: AnswerExtended) -> list[Event]:
    return [] if event.text.endswith(".") else [event]


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (only(AnswerExtended, lambda e: [] if e.seq == 4 else [e]), "1 events are missing"),
        (only(AnswerStarted, lambda e: []), "after seq 0 comes 2"),
        (only(AnswerExtended, last_delta), "events are missing"),
        (only(AnswerExtended, lambda e: [e, e] if e.seq == 4 else [e]), "it was there already"),
        (only(AnswerExtended, lambda e: [replace(e, position=e.position + 1)]), "were said"),
        (only(AnswerExtended, lambda e: [replace(e, text=e.text.upper())]), "the texts differ"),
        (only(AnswerEnded, lambda e: []), "its stream has no end"),
        (changed(AnswerEnded, status="stopped"), "stopped"),
        (only(AnswerEnded, lambda e: [e, replace(e, length=1)]), "ends twice, differently"),
        (only(AnswerRecorded, lambda e: [e, replace(e, status="failed")]), "second record with other bytes"),
        (only(TurnRequested, lambda e: [e, replace(e, user_id="bob")]), "asked a second time with other bytes"),
        (only(AnswerRecorded, lambda e: []), "was asked, and has no record"),
        (only(TurnRequested, lambda e: []), "has a record, and nobody asked it"),
        (changed(AnswerRecorded, text=Content.of("something else")), "the texts differ"),
        (changed(AnswerRecorded, citations=[Citation(number=9, position=0)]), "[9] at character 0 names nothing shown"),
        (changed(AnswerRecorded, permissions=None), "no rights are recorded"),
        (changed(TurnRequested, user_id="bob"), "was asked by bob, and answered as anna"),
        (without_offsets_of(DOCUMENTS), "does not say how far documents/"),
        (without_offsets_of(ACCESS_CHANGES), "does not say how far access-changes/"),
        (only(DocumentAccepted, lambda e: []), "there is no such version"),
        (changed(DocumentAccepted, readers=["user:bob"]), "its own readers are not"),
    ],
)
async def test_a_planted_defect_is_caught(audited: Audited, edit: Edit, why: str) -> None:
    def overdue(event: Event) -> Iterable[Event]:
        """A turn without a record fails only when its time is over."""
        for each in edit(event):
            yield replace(each, deadline=each.deadline - DAY_MS) if isinstance(each, TurnRequested) else each

    said = failures(await verified(audited, overdue if "no record" in why else edit))
    assert any(why in one for one in said), said


async def test_what_was_withdrawn_or_closed_before_the_question_must_not_be_cited(audited: Audited) -> None:
    """Real events, before and after a turn: only what the views had folded counts."""
    anna = audited.asking.anna
    assert (await anna.delete("/v1/collections/works/documents/roof")).is_success
    changed_readers = CollectionReadersChanged(collection_id="works", readers=["user:bob"], changed_by="anna")
    await audited.asking.house.access(changed_readers)
    assert failures(await verified(audited, unchanged)) == []  # it was answered before

    def later(event: Event) -> Iterable[Event]:
        """As if the views had folded all of it when the question was asked."""
        if isinstance(event, AnswerRecorded) and event.permissions:
            views = [replace(view, offset=10_000) for view in event.permissions.views]
            return [replace(event, permissions=replace(event.permissions, views=views))]
        return [event]

    said = failures(await verified(audited, later))
    assert len(said) == 1
    assert "works/roof version" in said[0]
    assert "was withdrawn at documents/" in said[0]

    def bobs(event: Event) -> Iterable[Event]:
        """And as if somebody else had been shown it, whom its collection names now."""
        if isinstance(event, AnswerRecorded) and event.permissions:
            return [replace(event, permissions=replace(event.permissions, principals=["public", "user:bob"]))]
        return [event]

    said = failures(await verified(audited, bobs))
    assert said
    assert all("could not be read by public, user:bob" in one for one in said)
    assert failures(
        await verified(audited, lambda event: [new for one in bobs(event) for new in later(one)])
    ) == failures(await verified(audited, later))


async def test_what_retention_removed_is_no_defect(audited: Audited) -> None:
    def old(event: Event) -> Iterable[Event]:
        if isinstance(event, AnswerRecorded):
            times = replace(event.timings, claimed_at=event.timings.claimed_at - DAY_MS)
            return [replace(event, occurred_at=event.occurred_at - DAY_MS, timings=times)]
        return [] if isinstance(event, AnswerStarted | AnswerExtended) else [event]

    said = failures(await verified(audited, old, cut=True))
    assert not [one for one in said if "stream" in one]


async def test_records_that_nobody_can_read_are_told_and_the_rest_is_checked(audited: Audited) -> None:
    house, key = audited.asking.house, audited.conversation_id
    foreign = Encoded(b"\x00\x7f\xff\xff\xff" + b"what is it", [])
    await house.publisher.publish_bytes(TURNS, key, foreign)
    await house.publisher.publish_bytes(ANSWERS, key, Encoded(b"not even Avro", []))
    again = next(record for record in await all_of(audited.settings, ANSWERS) if record.value[0] == 0)
    await house.publisher.publish_bytes(ANSWERS, key, Encoded(again.value, list(again.headers)))  # the same once more

    ran = await audited.turnlog("verify", "--json")
    assert ran.code == 1
    checks = {check["name"]: check for check in json.loads(ran.out)["checks"]}
    assert checks["records can be read"]["failed"] == 2
    assert checks["records can be read"]["checked"] > 20
    assert "2147483647 on turns" in checks["schema ids are known to the registry"]["failures"][0]["says"]
    repeated = checks["what is said twice is the same, byte by byte"]
    assert (repeated["checked"], repeated["failed"]) == (1, 0)
    assert checks["turns have exactly one record"]["checked"] == 1
    told = await audited.turnlog("replay", "--conversation", key)
    assert told.code == 0
    assert told.text.count("a record that nobody can read") == 2
    assert "the answer: completed" in told.text


async def test_a_second_record_on_the_log_itself_is_caught(audited: Audited) -> None:
    house = audited.asking.house
    record = next(record for record in await all_of(audited.settings, ANSWERS) if record.value[0] == 0)
    event = await Codec(RegistryClient(house.settings)).decode(
        ANSWERS.name, ANSWERS.events, record.value, dict(record.headers)
    )
    assert isinstance(event, AnswerRecorded)
    await house.publisher.publish(ANSWERS, audited.conversation_id, replace(event, reason="planted"))
    ran = await audited.turnlog("verify")
    assert ran.code == 1
    assert f"turn {audited.turn_id} has a second record with other bytes" in " ".join(ran.text.split())
