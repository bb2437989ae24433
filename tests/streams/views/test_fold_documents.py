"""What is published and what became of it, row by row; `test_folds` proves that order and repetition change nothing."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest_asyncio
from psycopg.rows import dict_row

from infra.kafka.records import Received
from infra.postgres.pool import Connection, conninfo
from infra.settings import Settings
from schemas.documents import (
    DocumentAccepted,
    DocumentFailed,
    DocumentIndexed,
    DocumentRemoved,
    DocumentWithdrawn,
    Source,
)
from schemas.event import Content, Event
from streams.views.fold_documents import fold_document_status, fold_documents
from topics.catalogue import DOCUMENT_STATUS, DOCUMENTS

Fold = Callable[..., Any]
NAMED: dict[str, Any] = {"collection_id": "c", "document_id": "d"}


@pytest_asyncio.fixture
async def db(settings: Settings) -> AsyncIterator[Connection]:
    """A connection of the views worker; every test is rolled back."""
    async with await psycopg.AsyncConnection.connect(conninfo(settings, "views")) as connection:
        yield connection
        await connection.rollback()


def accepted(title: str | None = None, **said: Any) -> DocumentAccepted:
    given: dict[str, Any] = {
        "publisher": "user:ann",
        "content": Content.of("words"),
        "content_sha256": "0" * 64,
        "source": Source(),
    }
    return DocumentAccepted(**NAMED, **given | {"media_type": "text/plain", "title": title} | said)


def withdrawn(**said: Any) -> DocumentWithdrawn:
    given: dict[str, Any] = {"publisher": "user:ann", "source": Source()}
    return DocumentWithdrawn(**NAMED, **given | said)


def indexed(version: int, live: int | None, outcome: str = "indexed") -> DocumentIndexed:
    return DocumentIndexed(
        **NAMED, index=1, version=version, live_version=live, outcome=outcome, passages=version, accepted_at=0
    )


def failed(version: int | None, code: str) -> DocumentFailed:
    return DocumentFailed(**NAMED, version=version, stage="parse", code=code, reason="why", source=Source())


def removed(version: int) -> DocumentRemoved:
    return DocumentRemoved(**NAMED, version=version, hidden_at=1, index_at=2)


def records(*events: Event, first: int = 0) -> list[Received[Any]]:
    return [Received(event, DOCUMENTS.name, 0, first + number, b"c/d", 0) for number, event in enumerate(events)]


async def row(db: Connection) -> dict[str, Any]:
    async with db.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("select * from views.documents")
        (found,) = await cursor.fetchall()
        return found


async def after(db: Connection, *events: Event) -> dict[str, Any]:
    await fold_documents(db, records(*events))
    return await row(db)


async def told(db: Connection, *events: Event) -> dict[str, Any]:
    await fold_document_status(db, [replace(one, topic=DOCUMENT_STATUS.name) for one in records(*events)])
    return await row(db)


async def test_the_newest_accepted_version_is_described_whole(db: Connection) -> None:
    found = await after(db, accepted("Old", readers=["public"]), accepted("New", readers=["user:bob"], url="http://x"))
    assert (found["accepted_offset"], found["title"], found["url"]) == (1, "New", "http://x")
    assert (found["readers"], found["publisher"], found["size"]) == (["user:bob"], "user:ann", 5)


async def test_a_withdrawal_is_noted_and_takes_the_words_with_it(db: Connection) -> None:
    found = await after(db, accepted("Title", url="http://x", readers=["user:bob"]), withdrawn())
    assert (found["accepted_offset"], found["withdrawn_offset"]) == (0, 1)
    assert (found["title"], found["url"], found["readers"]) == (None, None, ["user:bob"])
    found = await after(db, accepted("Back"))
    assert found["title"] is None  # offset 0 was folded before
    await fold_documents(db, records(accepted("Back"), first=2))
    assert ((await row(db))["accepted_offset"], (await row(db))["title"]) == (2, "Back")


async def test_a_withdrawal_of_what_was_never_published_stands_by_itself(db: Connection) -> None:
    found = await after(db, withdrawn())
    assert (found["accepted_offset"], found["withdrawn_offset"]) == (None, 0)


async def test_what_is_outdated_or_repeated_changes_nothing_that_people_see(db: Connection) -> None:
    first = accepted("First", source_version=5)
    found = await after(db, first, accepted("Older", source_version=4), first, withdrawn(source_version=4))
    assert (found["accepted_offset"], found["title"], found["withdrawn_offset"]) == (0, "First", None)
    assert (found["last_offset"], found["source_version"]) == (3, 5)


async def test_the_receipt_of_the_highest_version_tells_however_late_another_comes(db: Connection) -> None:
    found = await told(db, indexed(2, 2), indexed(3, 3), indexed(2, 2))
    assert (found["told_version"], found["live_version"], found["passages"]) == (3, 3, 3)


async def test_a_failure_leaves_the_version_before_it_live(db: Connection) -> None:
    found = await told(db, indexed(2, 2), failed(3, "broken"))
    assert (found["told_version"], found["outcome"], found["code"]) == (3, "failed", "broken")
    assert (found["live_version"], found["passages"]) == (2, 2)
    found = await told(db, indexed(2, 2), failed(3, "broken"), indexed(4, 4))
    assert (found["outcome"], found["code"], found["live_version"]) == ("indexed", None, 4)


async def test_a_version_that_was_passed_over_says_nothing_of_the_document(db: Connection) -> None:
    found = await told(db, failed(3, "broken"), indexed(4, None, "outdated"))
    assert (found["told_version"], found["code"]) == (3, "broken")


async def test_a_removal_leaves_nothing_live(db: Connection) -> None:
    found = await told(db, indexed(2, 2), removed(3))
    assert (found["told_version"], found["outcome"], found["live_version"]) == (3, "removed", None)


async def test_a_refusal_is_kept_beside_what_is_and_one_of_a_stranger_is_not(db: Connection) -> None:
    found = await told(db, indexed(2, 2), failed(None, "invalid-url"), failed(None, "not-allowed"))
    assert (found["refused_code"], found["refused_reason"], found["refused_offset"]) == ("invalid-url", "why", 1)
    assert (found["outcome"], found["live_version"]) == ("indexed", 2)
