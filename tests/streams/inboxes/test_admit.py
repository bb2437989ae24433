"""What an outside system says becomes ours as we say it, or a receipt with the cause and the cure."""

import asyncio
import hashlib
import time
from typing import Any

import pytest

from infra.access import record_key
from infra.inboxes import Inbox
from infra.postgres.objects import claim
from schemas.access import CollectionCreated, CollectionDeleted
from schemas.documents import (
    DocumentAccepted,
    DocumentFailed,
    DocumentPublished,
    DocumentRetracted,
    DocumentWithdrawn,
    Source,
)
from schemas.errors import Unavailable
from streams.inboxes.agents import steps
from streams.views.fold_documents import CODES_OF_STRANGERS
from tests.streams.inboxes.conftest import ANN, ANY, Desk
from topics.catalogue import ACCESS_CHANGES, DOCUMENT_STATUS, DOCUMENTS, DOCUMENTS_LOCAL

WORDS = b"The pump in hall 3 stops at 02:00."
Said = DocumentPublished | DocumentRetracted
LARGE = b"The pump in hall 3 stops at 02:00.\n" * 10_000
HASH = hashlib.sha256(WORDS).hexdigest()


def published(**said: Any) -> DocumentPublished:
    return DocumentPublished(**{"collection_id": "papers", "document_id": "a/b.txt", "content": WORDS} | said)


async def refused(desk: Desk, event: Said, inbox: Inbox = ANY) -> DocumentFailed:
    said = await desk.admit(event, inbox)
    assert isinstance(said, DocumentFailed), said
    assert (said.version, said.stage) == (None, "admit")
    assert said.source == Source(topic="documents-local", partition=3, offset=desk.offset)
    return said


async def accepted(desk: Desk, event: Said, inbox: Inbox = ANY) -> DocumentAccepted:
    said = await desk.admit(event, inbox)
    assert isinstance(said, DocumentAccepted), said
    return said


async def test_a_document_is_accepted_with_our_own_time_its_hash_and_the_place_it_came_from(desk: Desk) -> None:
    before = time.time_ns() // 1_000_000
    said = await accepted(desk, published(occurred_at=12, source_version=7, url="https://example.org/a", title="A"))
    assert before <= said.occurred_at <= time.time_ns() // 1_000_000
    assert said.publisher == "inbox:local"
    assert (said.content.inline, said.content.size, said.content_sha256) == (WORDS, len(WORDS), HASH)
    assert (said.title, said.url, said.source_version) == ("A", "https://example.org/a", 7)
    assert said.source == Source(topic="documents-local", partition=3, offset=desk.offset)


async def test_what_can_be_read_in_one_way_only_is_put_in_order(desk: Desk) -> None:
    said = await accepted(
        desk,
        published(
            media_type="Text/HTML; Charset=ISO-8859-1; x=y",
            title=" A\n title ",
            readers=["public", "group:g", "public"],
        ),
    )
    assert (said.media_type, said.title) == ("text/html; charset=iso-8859-1", "A title")
    assert said.readers == ["group:g", "public"]
    assert (await accepted(desk, published(title=" \n"))).title is None
    assert (await accepted(desk, published(readers=[]))).readers == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("unknown-collection", {"collection_id": "nowhere"}),
        ("unknown-collection", {"collection_id": "bobs"}),
        ("unknown-collection", {"collection_id": "Not/an\0id"}),
        ("not-allowed", {"collection_id": "other"}),
        ("reader-not-allowed", {"readers": ["user:bob"]}),
        ("invalid-reader", {"readers": ["everybody"]}),
        ("invalid-reader", {"readers": ["scope:admin"]}),
        ("too-many-readers", {"readers": ["public"] * 257}),
        ("invalid-id", {"document_id": ""}),
        ("invalid-id", {"document_id": "x" * 513}),
        ("invalid-id", {"document_id": "a\nb"}),
        ("invalid-id", {"document_id": "\0" * 100_000}),
        ("unsupported-media-type", {"media_type": "application/zip"}),
        ("unsupported-media-type", {"media_type": ""}),
        ("invalid-title", {"title": "x" * 501}),
        ("invalid-url", {"url": "javascript:alert(1)"}),
        ("invalid-url", {"url": "https://example.org/\0"}),
        ("invalid-content", {"content": None}),
        ("invalid-content", {"object_sha256": HASH}),
        ("too-large", {"content": b"a" * (1024 * 1024 + 1)}),
        ("unknown-object", {"content": None, "object_sha256": "f" * 64}),
        ("unknown-object", {"content": None, "object_sha256": "../../etc/passwd\0"}),
    ],
)
async def test_what_cannot_be_accepted_is_told_with_a_stable_code(desk: Desk, code: str, said: dict[str, Any]) -> None:
    inbox = ANN.model_copy(update={"collections": [*ANN.collections, "bobs", "Not/an\0id"]})
    failed = await refused(desk, published(**said), inbox)
    assert failed.code == code
    assert len(failed.document_id) <= 512
    assert failed.document_id.isprintable()
    assert failed.collection_id.isprintable()
    assert ": " in failed.reason or "has" in failed.reason  # the cause, and what helps


@pytest.mark.parametrize("document_id", ["a\u00a0b.txt", "می\u200cخواهم.txt", "👨\u200d👩\u200d👧.md"])
async def test_a_refusal_is_told_of_the_very_id_that_was_sent(desk: Desk, document_id: str) -> None:
    failed = await refused(desk, published(document_id=document_id, media_type="application/zip"))
    assert (failed.document_id, failed.code) == (document_id, "unsupported-media-type")


async def test_of_somebody_elses_collection_nobody_learns_that_it_exists(desk: Desk) -> None:
    there, nowhere = [await refused(desk, published(collection_id=name)) for name in ("bobs", "void")]
    assert (there.code, there.reason.replace("bobs", "void")) == (nowhere.code, nowhere.reason)


@pytest.mark.parametrize("said", [{"document_id": "a\nb"}, {"url": "javascript:alert(1)"}, {"content": None}])
async def test_nothing_but_whose_it_is_is_said_of_somebody_elses_collection(desk: Desk, said: dict[str, Any]) -> None:
    failed = await refused(desk, published(collection_id="bobs", **said))
    assert failed.code in CODES_OF_STRANGERS, "any other code is a line in bob's list of documents"
    narrow = ANY.model_copy(update={"collections": ["papers"]})
    assert (await refused(desk, published(collection_id="bobs", **said), narrow)).code in CODES_OF_STRANGERS


async def test_a_collection_that_the_views_do_not_know_yet_is_waited_for(desk: Desk) -> None:
    created = CollectionCreated(collection_id="fresh", name="Fresh", owner="ann", readers=[])
    await desk.stand.publisher.publish(ACCESS_CHANGES, record_key(created), created)
    assert (await accepted(desk, published(collection_id="fresh"))).collection_id == "fresh"


async def test_many_who_ask_for_unknown_collections_at_once_all_hear_the_same(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.needs.collections.owner_of(f"void-{n}") for n in range(50)))
    assert answers == [None] * 50


async def test_a_deleted_collection_takes_nothing_more(desk: Desk) -> None:
    await desk.tell(
        CollectionCreated(collection_id="gone", name="Gone", owner="ann", readers=[]),
        CollectionDeleted(collection_id="gone", deleted_by="ann"),
    )
    assert (await refused(desk, published(collection_id="gone"))).code == "unknown-collection"


async def test_content_too_large_for_a_record_lies_in_objects_and_belongs_to_the_inboxs_owner(desk: Desk) -> None:
    said = await accepted(desk, published(content=LARGE))
    assert said.content.inline is None
    assert said.content.object_sha256 == said.content_sha256 == hashlib.sha256(LARGE).hexdigest()
    assert await desk.needs.objects.read(said.content) == LARGE
    async with desk.needs.db.connection() as db:
        rows = await db.execute("select owner, size from state.objects where sha256 = %s", [said.content_sha256])
        assert await rows.fetchall() == [("user:ann", len(LARGE))]


async def test_an_object_is_named_by_who_uploaded_it_and_by_nobody_else(desk: Desk) -> None:
    objects = {owner: await desk.needs.objects.put(f"object of {owner}".encode()) for owner in ("ann", "bob")}
    async with desk.needs.db.connection() as db:
        for owner, sha256 in objects.items():
            await claim(db, sha256, f"user:{owner}", 13)
    said = await accepted(desk, published(content=None, object_sha256=objects["ann"]))
    assert (said.content.object_sha256, said.content.size, said.content_sha256) == (objects["ann"], 13, objects["ann"])
    failed = await refused(desk, published(content=None, object_sha256=objects["bob"]))
    assert failed.code == "unknown-object"


async def test_naming_an_object_spares_it_from_the_sweeper(desk: Desk) -> None:
    sha256 = await desk.needs.objects.put(b"old")
    async with desk.needs.db.connection() as db:
        await claim(db, sha256, "user:ann", 3)
        await claim(db, sha256, "user:bob", 3)
        await db.execute("update state.objects set touched_at = now() - interval '1 day' where sha256 = %s", [sha256])
        await desk.admit(published(content=None, object_sha256=sha256))
        old = "select count(*) from state.objects where sha256 = %s and touched_at < now() - interval '1 hour'"
        assert await (await db.execute(old, [sha256])).fetchone() == (0,)


async def test_a_retraction_is_a_withdrawal_and_checked_the_same_way(desk: Desk) -> None:
    said = await desk.admit(DocumentRetracted(collection_id="papers", document_id="a/b.txt", source_version=8))
    assert isinstance(said, DocumentWithdrawn)
    assert (said.publisher, said.source_version) == ("inbox:local", 8)
    assert said.source.offset == desk.offset
    assert (await refused(desk, DocumentRetracted(collection_id="bobs", document_id="x"))).code == "unknown-collection"


async def test_a_crash_of_ours_is_told_without_its_inside(desk: Desk) -> None:
    class Broken:
        async def owner_of(self, collection_id: str) -> str:
            raise RuntimeError("password=secret")

    desk_of_broken = Desk(desk.stand, type(desk.needs)(desk.needs.db, desk.needs.objects, Broken()), desk.freshness)  # type: ignore[arg-type]
    failed = await refused(desk_of_broken, published())
    assert failed.code == "internal-error"
    assert "secret" not in failed.reason


async def test_while_nobody_can_know_a_collection_admission_waits(desk: Desk) -> None:
    class Behind:
        async def owner_of(self, collection_id: str) -> str:
            waited.append(collection_id)
            if len(waited) < 3:
                raise Unavailable("views")
            return "ann"

    waited: list[str] = []
    needs = type(desk.needs)(desk.needs.db, desk.needs.objects, Behind())  # type: ignore[arg-type]
    delivery = desk.stand.delivery(*steps(ANY, needs, asyncio.Semaphore(1)), ours=False)
    await delivery.deliver(desk.stand.record(DOCUMENTS_LOCAL, published(document_id="patient")))
    assert len(waited) == 3
    documents = [event.document_id for event in await desk.stand.events(DOCUMENTS)]  # type: ignore[attr-defined]
    assert documents.count("patient") == 1


async def test_a_refused_record_holds_up_nothing_and_each_goes_where_it_belongs(desk: Desk) -> None:
    delivery = desk.stand.delivery(*steps(ANY, desk.needs, asyncio.Semaphore(4)), ours=False)
    for event in (
        published(document_id="one"),
        published(document_id="two", media_type="image/png"),
        published(document_id="three"),
        DocumentRetracted(collection_id="papers", document_id="one"),
    ):
        await delivery.deliver(desk.stand.record(DOCUMENTS_LOCAL, event))
    documents = {(type(e).__name__, e.document_id) for e in await desk.stand.events(DOCUMENTS)}  # type: ignore[attr-defined]
    assert documents >= {("DocumentAccepted", "one"), ("DocumentAccepted", "three"), ("DocumentWithdrawn", "one")}
    failed = {e.document_id: e.code for e in await desk.stand.events(DOCUMENT_STATUS) if isinstance(e, DocumentFailed)}
    assert failed == {"two": "unsupported-media-type"}
