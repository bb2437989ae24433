"""Objects that nothing names any more: deleted after a grace, and never while somebody names or uploads them."""

import asyncio
import hashlib

import pytest

from infra.postgres.objects import claim, name
from infra.postgres.pool import connection
from schemas.documents import DocumentRemoved
from schemas.errors import Invalid
from schemas.event import Content
from streams.documents.sweep import Sweeper
from tests.streams.documents.library import Library


def _sweeper(library: Library, grace_seconds: float = 0) -> Sweeper:
    limits = library.settings.limits.model_copy(update={"object_grace_seconds": grace_seconds})
    tools = library.tools
    return Sweeper(limits, library.pool, tools.rows, tools.index, tools.objects, library.publisher)


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
    async with connection(library.pool) as db, db.transaction():
        assert await name(db, content.object_sha256, "user:ann")
        sweeping = asyncio.create_task(_sweeper(library, grace_seconds=0.5).sweep_objects())
        done, _ = await asyncio.wait([sweeping], timeout=0.3)
        assert not done or sweeping.result() == 0
    assert await sweeping == 0, "it waited for the row, and saw that it was just named"
    assert await _is_there(library, content)


async def test_a_document_whose_object_is_gone_says_so(library: Library) -> None:
    gone = Content(object_sha256=hashlib.sha256(b"never there").hexdigest(), size=11)
    received = library.accepted("lost", "never there", content=gone)
    await library.fold(received)
    with pytest.raises(Invalid, match="upload it again"):
        await library.run(received)
