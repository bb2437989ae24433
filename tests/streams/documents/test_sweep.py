"""What nobody reads any more goes, also after a refusal, and whoever wants to know is told when."""

import asyncio
import hashlib
from dataclasses import replace
from typing import Any

import pytest

from api.document_status import row_of
from infra.postgres.objects import claim, name
from infra.postgres.pool import connection, session
from schemas.access import CollectionDeleted
from schemas.documents import DocumentRemoved, DocumentWithdrawn, Source
from schemas.errors import Invalid, Unavailable
from schemas.event import Content
from streams.documents.reconcile import run_reconcile
from streams.documents.sweep import Sweeper
from streams.documents.withdraw_document import fail_withdrawal
from tests.kafka_reading import all_of
from tests.streams.documents.library import Library, another_worker
from topics.catalogue import ACCESS_CHANGES, DOCUMENT_STATUS, DOCUMENTS


class Refusing:
    """A server that refuses what is asked of it first, and then serves; `made` tells what it refuses with."""

    def __init__(self, serves: Any, name: str, made: Exception) -> None:
        self._serves, self._name, self._made, self.asked = serves, name, made, 0

    def __getattr__(self, name: str) -> Any:
        return self._refuse_once if name == self._name else getattr(self._serves, name)

    async def _refuse_once(self, *args: Any, **more: Any) -> Any:
        self.asked += 1
        if self.asked == 1:
            raise self._made
        return await getattr(self._serves, self._name)(*args, **more)


def _sweeper(library: Library, grace_seconds: float = 0, **changed: Any) -> Sweeper:
    grace = {"object_grace_seconds": grace_seconds, "leftover_grace_seconds": 0, "sweep_seconds": 0.01}
    limits, tools = library.settings.limits.model_copy(update=grace), library.tools
    used: dict[str, Any] = {"index": tools.index, "publisher": library.publisher} | changed
    return Sweeper(limits, library.pool, tools.rows, objects=tools.objects, **used)


async def _seen(library: Library, document_id: str, collection_id: str = "open") -> str:
    """What its owner is told of a document, when the views have the last receipt."""
    for offset, event in enumerate(await library.receipts(document_id)):
        await library.fold(replace(library.received(event, DOCUMENT_STATUS), offset=offset))
    async with session(library.searching._db, "ann", {"user:ann"}) as db:
        row = await row_of(db, collection_id, document_id)
    assert row is not None
    return row.state


async def _upload(library: Library, words: str, owner: str = "user:ann") -> Content:
    data = words.encode()
    async with connection(library.pool) as db, db.transaction():
        await claim(db, hashlib.sha256(data).hexdigest(), owner, len(data))
        return Content(object_sha256=await library.tools.objects.put(data), size=len(data))


async def _is_there(library: Library, content: Content) -> bool:
    try:
        await library.tools.objects.read(content)
    except Invalid:
        return False
    return True


async def test_a_withdrawn_documents_object_goes_and_a_second_receipt_says_when(library: Library) -> None:
    content = await _upload(library, "Auks fly under water.")
    await library.publish(library.accepted("auks", "Auks fly under water.", content=content))
    assert "Auks fly under water." in await library.texts("auks")
    await _sweeper(library).sweep_objects()
    assert await _is_there(library, content), "a live document names it"
    withdrawal = library.withdrawn("auks")
    await library.publish(withdrawal)
    assert await _sweeper(library).sweep_objects() == 1
    assert not await _is_there(library, content)
    told = await library.receipts("auks")
    assert [event.objects_at is not None for event in told if isinstance(event, DocumentRemoved)] == [True]
    assert told[-1].version == withdrawal.offset


async def test_a_receipt_that_could_not_be_sent_is_sent_by_the_next_sweep(library: Library) -> None:
    content = await _upload(library, "Terns fly far.")
    await library.publish(library.accepted("terns", "Terns fly far.", content=content))
    await library.publish(library.withdrawn("terns"))
    broker = Refusing(library.publisher, "publish", Unavailable("kafka"))
    sweeper = _sweeper(library, publisher=broker)
    with pytest.raises(Unavailable):
        await sweeper.sweep_objects()
    assert await sweeper.sweep_objects() == 1
    assert [event.objects_at is not None for event in await library.receipts("terns")] == [True]
    assert not await _is_there(library, content)


async def test_a_withdrawal_that_could_not_delete_is_finished_and_told_by_the_sweeper(library: Library) -> None:
    await library.publish(library.accepted("rails", "Rails hide in reeds."))
    withdrawal = library.withdrawn("rails")
    await library.fold(withdrawal)
    index: Any = Refusing(library.index, "delete", Invalid("403"))
    with pytest.raises(Invalid) as refused:
        await library.run(withdrawal, another_worker(library.tools, index=index))
    for output in await fail_withdrawal(withdrawal, refused.value, library.tools.rows):
        await library.publisher.publish(output.topic, output.key, output.event)
    assert await _seen(library, "rails") == "removing"
    late = library.accepted("rails", "Rails hide in reeds.", source=Source(topic="t", partition=0, offset=1))
    assert await _sweeper(library).sweep_passages() == 1
    assert await library.versions("rails") == set()
    assert await _seen(library, "rails") == "withdrawn"
    (again,) = await fail_withdrawal(withdrawal, refused.value, library.tools.rows)
    assert isinstance(again.event, DocumentRemoved), "the sweeper was faster than the failure"
    assert [told.outcome for told in await library.publish(late)] == ["indexed"]


async def test_the_documents_of_a_deleted_collection_go_with_their_passages_and_objects(library: Library) -> None:
    await library.collection("brief")
    content = await _upload(library, "Rooks nest high.")
    await library.publish(library.accepted("rooks", "Rooks nest high.", "brief", content=content))
    await library.publish(library.accepted("crows", "Crows nest low.", "brief"))
    await library.publish(library.withdrawn("crows", "brief"))
    deleted = CollectionDeleted(collection_id="brief", deleted_by="ann")
    assert await _sweeper(library).sweep_collections() == 0
    await library.fold(library.received(deleted, ACCESS_CHANGES))
    before = len(await all_of(library.settings, DOCUMENTS))
    assert await _sweeper(library).sweep_collections() == 1, "crows are withdrawn already"
    (found,) = (await all_of(library.settings, DOCUMENTS))[before:]
    event = await library.codec.decode(DOCUMENTS.name, DOCUMENTS.events, found.value, dict(found.headers))
    assert isinstance(event, DocumentWithdrawn)
    assert (event.collection_id, event.document_id, event.publisher) == ("brief", "rooks", "user:ann")
    assert found.key == b"brief/rooks"
    await library.publish(library.received(event))
    assert await _sweeper(library).sweep_collections() == 0
    assert await library.versions("rooks", "brief") == set()
    assert await _sweeper(library).sweep_objects() == 1
    assert not await _is_there(library, content)


async def test_a_version_that_came_to_nothing_names_no_object_any_more(library: Library) -> None:
    for document, last, outcome in (("kites", 5, "unchanged"), ("gulls", 3, "outdated")):
        await library.publish(library.accepted(document, "Soars.", source_version=4))
        content = await _upload(library, f"{document} dive.")
        dropped = library.accepted(document, f"{document} dive.", content=content, source_version=5)
        await library.fold(dropped)
        await library.tools.rows.begin(dropped)
        (told,) = await library.publish(library.accepted(document, "Soars.", source_version=last))
        assert told.outcome == outcome
        async with library.pool.connection() as db:
            named = "select count(*) from state.documents where object_sha256 = %s"
            assert await (await db.execute(named, [content.object_sha256])).fetchone() == (0,)


async def test_a_refusal_of_the_search_server_ends_neither_sweeping_nor_reconciling(library: Library) -> None:
    old, new = library.accepted("wrens", "Wrens sing."), library.accepted("wrens", "Wrens hop.")
    await library.publish(old)
    await library.fold(new)
    await library.run_until_flip(new)
    await library.ghost("owl", version=3)
    deletes: Any = Refusing(library.index, "delete", Invalid("403"))
    by_query: Any = Refusing(library.index, "delete_version", Invalid("500"))
    running = [
        asyncio.create_task(_sweeper(library, index=deletes).run()),
        asyncio.create_task(run_reconcile(by_query, library.pool, 0.01)),
    ]
    try:
        async with asyncio.timeout(20):
            while min(deletes.asked, by_query.asked) < 2 or await library.versions("owl"):
                await asyncio.sleep(0.05)
        assert await library.versions("wrens") == {new.offset}
        assert not any(task.done() for task in running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def test_an_object_that_another_document_names_stays(library: Library) -> None:
    content = await _upload(library, "Shared by two.")
    await library.publish(library.accepted("one", "Shared by two.", content=content))
    await library.publish(library.accepted("other", "Shared by two.", content=content))
    await library.publish(library.withdrawn("one"))
    assert await _sweeper(library).sweep_objects() == 0
    assert await _is_there(library, content)


async def test_an_object_of_an_accepted_version_that_still_waits_in_the_queue_stays(library: Library) -> None:
    content = await _upload(library, "Waits in the queue.")
    await library.fold(library.accepted("queued", "Waits in the queue.", content=content))
    assert await _sweeper(library).sweep_objects() == 0
    assert await _is_there(library, content)


async def test_an_upload_that_nobody_named_stays_for_the_grace_and_then_goes(library: Library) -> None:
    content = await _upload(library, "Nobody names me.")
    assert await _sweeper(library, grace_seconds=3600).sweep_objects() == 0
    assert await _sweeper(library).sweep_objects() == 1
    assert not await _is_there(library, content)


async def test_whoever_names_an_object_while_it_is_swept_either_keeps_it_or_is_told(library: Library) -> None:
    content = await _upload(library, "Named at the last moment.")
    assert content.object_sha256
    async with connection(library.pool) as db:
        old = "update state.objects set touched_at = now() - interval '1 day' where sha256 = %s"
        await db.execute(old, [content.object_sha256])
    async with connection(library.pool) as db, db.transaction():
        assert await name(db, content.object_sha256, "user:ann")
        sweeping = asyncio.create_task(_sweeper(library, grace_seconds=3600).sweep_objects())
        done, _ = await asyncio.wait([sweeping], timeout=0.3)
        assert not done
    assert await sweeping == 0, "it waited for the row, and saw that it was just named"
    assert await _is_there(library, content)


async def test_a_document_whose_object_is_gone_says_so(library: Library) -> None:
    gone = Content(object_sha256=hashlib.sha256(b"never there").hexdigest(), size=11)
    received = library.accepted("lost", "never there", content=gone)
    await library.fold(received)
    with pytest.raises(Invalid, match="upload it again"):
        await library.run(received)
