"""Which records of `documents` count."""

from dataclasses import replace
from typing import Any

from infra.kafka.records import Received
from schemas.documents import DocumentAccepted, DocumentWithdrawn, Source
from schemas.event import Content
from streams.documents.decide import REQUESTS, Known, decide

WORDS = Content.of("words")


def change(offset: int, kind: type = DocumentAccepted, **said: Any) -> Received[Any]:
    given = {"collection_id": "c", "document_id": "d", "publisher": "user:ann", "source": Source()}
    if kind is DocumentAccepted:
        given |= {"content": WORDS, "content_sha256": "0" * 64, "media_type": "text/plain"}
    return Received(kind(**given | said), "documents", 0, offset, b"c/d", 0)


def verdicts(*changes: Received[Any]) -> list[str]:
    known = Known()
    said: list[str] = []
    for one in changes:
        verdict, known = decide(known, one)
        said.append(verdict)
    return said


def inbox(offset: int) -> Source:
    return Source(topic="documents-local", partition=3, offset=offset)


def test_a_record_that_was_decided_is_seen_whatever_it_says() -> None:
    one, two = change(1), change(2)
    assert verdicts(one, two, one, two) == ["new", "new", "seen", "seen"]


def test_an_inbox_record_admitted_twice_counts_once_even_after_a_newer_one() -> None:
    older, newer = change(1, source=inbox(10)), change(2, source=inbox(11))
    again = [replace(older, offset=3), replace(newer, offset=4)]
    assert verdicts(older, newer, *again) == ["new", "new", "repeated", "repeated"]
    assert verdicts(older, change(2, source=replace(inbox(5), partition=4))) == ["new", "new"]


def test_a_withdrawal_admitted_twice_does_not_hide_what_was_published_after_it() -> None:
    withdrawn = change(2, DocumentWithdrawn, source=inbox(11))
    after = change(3, source=inbox(12))
    assert verdicts(change(1, source=inbox(10)), withdrawn, after, replace(withdrawn, offset=4))[-1] == "repeated"


def test_a_request_that_another_replica_produced_again_counts_once_even_after_a_newer_one() -> None:
    older, newer = change(1), change(2)
    assert verdicts(older, newer, replace(older, offset=3)) == ["new", "new", "repeated"]


def test_only_the_last_requests_are_remembered() -> None:
    known = Known()
    for offset in range(3 * REQUESTS):
        _, known = decide(known, change(offset))
    assert len(known.positions) == REQUESTS
    assert decide(known, replace(change(99), event=change(0).event))[0] == "new"


def test_a_lower_number_is_outdated_an_equal_one_counts_and_none_lowers_nothing() -> None:
    numbers = [5, 4, 5, None, 4, 6]
    changes = [change(offset, source_version=number) for offset, number in enumerate(numbers)]
    assert verdicts(*changes) == ["new", "outdated", "new", "new", "outdated", "new"]
    assert verdicts(change(1, source_version=5), change(2, DocumentWithdrawn, source_version=4)) == ["new", "outdated"]
