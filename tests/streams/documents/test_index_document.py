"""A version's way to its readers, and every way in which it may be interrupted."""

import asyncio
from typing import Any

import pytest

from infra.documents import Unfit
from infra.opensearch.passages import PassageIndex
from infra.postgres.pool import connection
from schemas.documents import DocumentFailed, DocumentIndexed, DocumentRemoved, Source
from schemas.errors import Unavailable
from schemas.event import Content
from streams.documents.index_document import fail_document, tell_waiting
from streams.documents.reconcile import reconcile
from streams.documents.sweep import Sweeper
from tests.streams.documents.library import Library, another_worker

SECONDS = 60


class PausedIndex(PassageIndex):
    """An index whose worker stands still after (or before) its put until it is let go."""

    def __init__(self, of: PassageIndex, *, before: bool = False) -> None:
        self.__dict__.update(of.__dict__)
        self.before, self.reached, self.go_on = before, asyncio.Event(), asyncio.Event()

    async def put(self, passages: Any) -> None:
        """As the real one, with a pause."""
        if not self.before:
            await super().put(passages)
        self.reached.set()
        await asyncio.wait_for(self.go_on.wait(), SECONDS)
        if self.before:
            await super().put(passages)


async def test_an_accepted_document_is_found_with_its_place_and_both_scores(library: Library) -> None:
    words = "# Otters\n\nOtters hold hands while they sleep.\n\n## Food\n\nThey eat sea urchins and crabs."
    (told,) = await library.publish(library.accepted("otters", words, media_type="text/markdown"))
    assert isinstance(told, DocumentIndexed)
    assert (told.outcome, told.passages, told.live_version) == ("indexed", 2, library.offset)
    found = await library.search("what do otters eat?")
    best = found.passages[0].hit
    assert best.text == "They eat sea urchins and crabs."
    assert words[best.start : best.end] == best.text
    assert best.heading == ["Otters", "Food"]
    assert (best.title, best.version) == ("Otters", library.offset)
    assert best.words is not None
    assert best.meaning is not None
    assert 0 < best.score <= 1
    assert (found.walled, found.returned, found.incomplete) == (0, len(found.passages), None)


async def test_a_change_waits_until_what_was_forgotten_of_its_document_is_restored(library: Library) -> None:
    first = library.accepted("forgotten", "Moles dig at night.")
    await library.publish(first)
    row = [library.index.number, "open", "forgotten", first.offset]
    newer = library.accepted("forgotten", "Moles dig by day, too.")
    async with connection(library.pool) as db:
        await db.execute(
            'insert into state.restores (index, collection_id, document_id, "offset") values (%s, %s, %s, %s)', row
        )
        with pytest.raises(Unavailable, match="restore"):
            await library.publish(newer)
        await db.execute("delete from state.restores")
    (told,) = await library.publish(newer)
    assert told.outcome == "indexed"


async def test_publishing_the_same_again_does_nothing_and_says_so(library: Library) -> None:
    first = library.accepted("same", "Bees dance to tell where flowers are.")
    await library.publish(first)
    (told,) = await library.publish(library.accepted("same", "Bees dance to tell where flowers are."))
    assert (told.outcome, told.live_version) == ("unchanged", first.offset)
    assert await library.versions("same") == {first.offset}
    (changed,) = await library.publish(
        library.accepted("same", "Bees dance to tell where flowers are.", readers=["user:ann"])
    )
    assert changed.outcome == "indexed", "readers are part of what is compared"
    assert await library.versions("same") == {library.offset}


async def test_a_redelivery_repeats_the_receipt_and_changes_nothing(library: Library) -> None:
    received = library.accepted("again", "Swifts sleep in the air.")
    (first,) = await library.publish(received)
    (second,) = await library.publish(received)
    assert (first.outcome, first.version, first.live_version) == (second.outcome, second.version, second.live_version)
    newer = library.accepted("again", "Swifts drink in the air.")
    await library.publish(newer)
    (late,) = await library.publish(received)
    assert (late.outcome, late.live_version) == ("outdated", newer.offset), "it never goes back"
    assert await library.versions("again") == {newer.offset}


async def test_a_document_admitted_twice_counts_once(library: Library) -> None:
    source = Source(topic="documents-local", partition=3, offset=7)
    newer = Source(topic="documents-local", partition=3, offset=8)
    first = library.accepted("twice", "Herons stand still.", source=source)
    await library.publish(first)
    await library.publish(library.accepted("twice", "Herons wade.", source=newer))
    (told,) = await library.publish(library.accepted("twice", "Herons stand still.", source=source))
    assert (told.outcome, told.live_version) == ("outdated", first.offset + 1)
    assert "Herons wade." in await library.texts("herons")


async def test_a_lower_source_version_is_ignored_and_a_status_says_so(library: Library) -> None:
    await library.publish(library.accepted("numbered", "Owls turn their heads.", source_version=5))
    (told,) = await library.publish(library.accepted("numbered", "Owls are deaf.", source_version=4))
    assert told.outcome == "outdated"
    assert "Owls are deaf." not in await library.texts("owls")
    await library.publish(library.withdrawn("numbered", source_version=6))
    (late,) = await library.publish(library.accepted("numbered", "Owls are deaf.", source_version=5))
    assert late.outcome == "outdated", "a withdrawn document keeps its row"
    assert not any("Owls" in text for text in await library.texts("owls"))


async def test_readers_see_one_version_or_the_other_never_both(library: Library) -> None:
    old = library.accepted("flip", "The ferry leaves at nine.")
    await library.publish(old)
    new = library.accepted("flip", "The ferry leaves at ten.")
    await library.fold(new)
    paused = PausedIndex(library.index)
    running = asyncio.create_task(library.run(new, another_worker(library.tools, index=paused)))
    await asyncio.wait_for(paused.reached.wait(), SECONDS)
    assert await library.versions("flip") == {old.offset, new.offset}
    assert await library.texts("when does the ferry leave?", limit=1) == {"The ferry leaves at nine."}
    paused.go_on.set()
    await running
    assert await library.texts("when does the ferry leave?", limit=1) == {"The ferry leaves at ten."}
    assert await library.versions("flip") == {new.offset}


async def test_of_two_workers_on_one_document_the_one_that_was_paused_changes_nothing(library: Library) -> None:
    first, second = library.accepted("two", "Toads sing."), library.accepted("two", "Toads hum.")
    await library.fold(first, second)
    paused = PausedIndex(library.index)
    running = asyncio.create_task(library.run(first, another_worker(library.tools, index=paused)))
    await asyncio.wait_for(paused.reached.wait(), SECONDS)
    assert [told.outcome for told in await library.run(first)] == ["indexed"], "the other worker does it anew"
    assert [told.outcome for told in await library.run(second)] == ["indexed"]
    paused.go_on.set()
    assert await running == []
    assert "Toads hum." in await library.texts("toads")
    assert await library.versions("two") == {second.offset}


async def test_a_worker_that_wakes_before_its_put_leaves_no_ghosts(library: Library) -> None:
    first, second = library.accepted("ghost", "Newts hide."), library.accepted("ghost", "Newts swim.")
    await library.fold(first, second)
    paused = PausedIndex(library.index, before=True)
    running = asyncio.create_task(library.run(first, another_worker(library.tools, index=paused)))
    await asyncio.wait_for(paused.reached.wait(), SECONDS)
    await library.run(first)
    await library.run(second)
    paused.go_on.set()
    assert await running == []
    assert await library.versions("ghost") == {second.offset}


async def test_what_a_crash_left_before_the_flip_a_redelivery_finishes(library: Library) -> None:
    received = library.accepted("crash", "Moles dig at night.")
    await library.fold(received)
    paused = PausedIndex(library.index)
    running = asyncio.create_task(library.run(received, another_worker(library.tools, index=paused)))
    await asyncio.wait_for(paused.reached.wait(), SECONDS)
    running.cancel()
    await asyncio.wait([running])
    assert "Moles dig at night." not in await library.texts("moles")
    (told,) = await library.run(received)
    assert told.outcome == "indexed"
    assert "Moles dig at night." in await library.texts("moles")


async def test_what_a_crash_left_after_the_flip_the_sweeper_deletes(library: Library) -> None:
    old, new = library.accepted("swept", "Hares box."), library.accepted("swept", "Hares leap.")
    await library.publish(old)
    await library.fold(new)
    await library.run_until_flip(new)
    assert await library.versions("swept") == {old.offset, new.offset}
    limits = library.settings.limits.model_copy(update={"leftover_grace_seconds": 0})
    tools = library.tools
    sweeper = Sweeper(limits, library.pool, tools.rows, tools.index, tools.objects, library.publisher)
    assert await sweeper.sweep_passages() >= 1
    assert await library.versions("swept") == {new.offset}
    assert await library.tools.rows.leftovers(library.key("swept")) == []


async def test_reconcile_deletes_what_no_row_knows_and_nothing_else(library: Library) -> None:
    live = library.accepted("known", "Foxes bark.")
    await library.publish(live)
    await library.ghost("unknown", version=3)
    writing = library.accepted("writing", "Badgers dig.")
    paused = PausedIndex(library.index)
    running = asyncio.create_task(library.run(writing, another_worker(library.tools, index=paused)))
    await asyncio.wait_for(paused.reached.wait(), SECONDS)
    assert await reconcile(library.index, library.pool) >= 1
    assert await library.versions("unknown") == set()
    assert await library.versions("known") == {live.offset}
    assert await library.versions("writing") == {writing.offset}
    paused.go_on.set()
    assert [told.outcome for told in await running] == ["indexed"]


async def test_a_withdrawal_hides_as_soon_as_the_view_has_it_and_then_deletes(library: Library) -> None:
    await library.publish(library.accepted("gone", "Wolves howl at dusk."))
    withdrawal = library.withdrawn("gone")
    await library.fold(withdrawal)
    assert "Wolves howl at dusk." not in await library.texts("wolves"), "hidden before any step ran"
    (told,) = await library.run(withdrawal)
    assert isinstance(told, DocumentRemoved)
    assert told.hidden_at <= told.index_at
    assert await library.versions("gone") == set()
    (again,) = await library.run(withdrawal)
    assert (again.hidden_at, again.index_at) == (told.hidden_at, told.index_at), "the receipt is repeated"
    await library.publish(library.accepted("gone", "Wolves howl at dusk."))
    assert "Wolves howl at dusk." in await library.texts("wolves"), "it may be published again"


async def test_a_document_that_cannot_be_indexed_leaves_the_version_before_it_live(library: Library) -> None:
    good = library.accepted("poison", "Eels cross oceans.")
    await library.publish(good)
    bad = library.accepted("poison", "", media_type="application/pdf")
    await library.fold(bad)
    with pytest.raises(Unfit) as refused:
        await library.run(bad)
    (output,) = await fail_document(bad, refused.value, library.tools)
    failed = output.event
    assert isinstance(failed, DocumentFailed)
    assert (failed.stage, failed.code, failed.version) == ("parse", "broken", bad.offset)
    assert "Eels cross oceans." in await library.texts("eels")
    (again,) = await library.run(bad)
    assert (again.stage, again.code, again.reason) == (failed.stage, failed.code, failed.reason), "repeated"


async def test_an_object_too_large_to_parse_is_refused_before_it_is_read(library: Library) -> None:
    content = Content(object_sha256="0" * 64, size=1024 * 1024 * 1024)  # it is not there: reading it would say so
    received = library.accepted("huge", "", content=content)
    await library.fold(received)
    with pytest.raises(Unfit) as refused:
        await library.run(received)
    assert (refused.value.stage, refused.value.code) == ("parse", "too-large")


async def test_a_document_that_waits_for_a_server_says_for_which(library: Library) -> None:
    received = library.accepted("waits", "Cranes wait.")
    await library.fold(received)
    await library.tools.rows.begin(received)
    await tell_waiting(received, Unavailable("embedder"), library.tools)
    async with library.pool.connection() as db:
        row = await (await db.execute("select waiting_for from state.documents where document_id = 'waits'")).fetchone()
        assert row == ("embedder",)
    await library.run(received)
    async with library.pool.connection() as db:
        row = await (await db.execute("select waiting_for from state.documents where document_id = 'waits'")).fetchone()
        assert row == (None,)
