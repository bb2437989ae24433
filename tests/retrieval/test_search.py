"""Search under rights: the filter in both arms, and the wall behind it when the index is stale."""

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.opensearch.mapping import WEIGHTS
from infra.opensearch.passages import Hit
from infra.postgres.pool import session
from retrieval.query import MOST_WORDS, Readable, first_words, passages_query, permission_filter
from retrieval.search import Question, Search
from retrieval.wall import Standing, readable_collections, standings, wall
from schemas.access import CollectionDeleted, CollectionReadersChanged
from schemas.errors import Invalid
from tests.streams.documents.library import Library
from topics.catalogue import ACCESS_CHANGES

SECRET = "The launch code of the lighthouse is nine nine four."


async def test_neither_words_nor_meaning_nor_both_find_what_a_caller_may_not_read(library: Library) -> None:
    await library.collection("private", owner="bob", readers=("group:keepers",))
    await library.publish(library.accepted("code", SECRET, "private"))
    await library.publish(library.accepted("own", SECRET + " Or ten.", readers=["user:bob"]))
    for by in ("both", "words", "meaning"):
        assert not await library.texts("launch code of the lighthouse", "eve", by=by) & {SECRET, SECRET + " Or ten."}
        assert SECRET in await library.texts("launch code of the lighthouse", "eve", "keepers", by=by)
        assert {SECRET, SECRET + " Or ten."} <= await library.texts("launch code of the lighthouse", "bob", by=by)


async def test_the_index_itself_gives_nothing_away_in_either_arm(library: Library) -> None:
    await library.collection("vault", owner="bob", readers=())
    await library.publish(library.accepted("deep", SECRET, "vault"))
    vector = (await library.tools.embedder.embed([SECRET]))[0]
    for by in ("both", "words", "meaning"):
        body = passages_query(SECRET, vector, Readable(["open"], ["public", "user:eve"]), 100, 200, by)
        for hit in (await library.index.search(body)).hits:
            assert hit.collection_id == "open"
            assert hit.readers is None or {"public", "user:eve"} & set(hit.readers)


async def test_both_scores_are_told_and_the_fused_one_is_their_normalised_mean(library: Library) -> None:
    await library.collection("scores")
    for number, text in enumerate(("red kite over the hill", "a red fox", "sailing at dawn", "kites are raptors")):
        await library.publish(library.accepted(f"s{number}", text, "scores"))
    found = (await library.search("red kite", collections=["scores"])).passages
    words = [hit.words for hit in (one.hit for one in found) if hit.words is not None]
    meanings = [hit.meaning for hit in (one.hit for one in found) if hit.meaning is not None]
    for one in found:
        expected = 0.0
        for weight, score, arm in zip(WEIGHTS, (one.hit.words, one.hit.meaning), (words, meanings), strict=True):
            if score is not None:
                expected += weight * max((score - min(arm)) / (max(arm) - min(arm)), 0.001)
        assert one.hit.score == pytest.approx(expected, abs=1e-4)
    assert any(one.hit.words is None for one in found), "a passage that only its meaning found"


@pytest.mark.parametrize(
    "question",
    [
        " ".join(f"word{n}" for n in range(2000)),
        "".join(chr(0x4E00 + n) for n in range(5000)),
        " ".join(f"ab{n}-cd{n}.ef{n},gh{n}" for n in range(2000)),
        "\U0001f35e" * 3000,
        "x" * 30_000,
    ],
)
async def test_a_question_of_many_words_is_searched_for_with_the_first_of_them(library: Library, question: str) -> None:
    await library.publish(library.accepted("avocets", "Avocets wade in shallow lagoons."))
    for by in ("both", "words"):
        assert "Avocets wade in shallow lagoons." in await library.texts(
            f"avocets lagoons {question}", by=by, limit=100
        )


async def test_one_arm_alone_gives_its_own_score(library: Library) -> None:
    await library.publish(library.accepted("ruffs", "Ruffs dance on leks."))
    for by in ("words", "meaning"):
        for one in (await library.search("ruffs dance", by=by)).passages:
            assert one.hit.score == getattr(one.hit, by)
    assert (await library.search("ruffs dance", by="words")).passages[0].hit.score > 1, "BM25 is not normalised"


def test_a_short_question_is_asked_as_it_is_and_a_long_one_by_its_distinct_words() -> None:
    assert first_words("the pump, the Pump") == "the pump, the Pump"
    assert first_words("again and " * 1000) == "again and"
    assert len(first_words(" ".join(f"word{n}" for n in range(2000))).split()) == MOST_WORDS


async def test_the_wall_holds_back_what_a_stale_index_still_offers(library: Library) -> None:
    live = library.accepted("stale", "Comets have tails of dust.")
    await library.publish(live)
    await library.ghost("stale", live.offset - 1, "Comets have tails of fire.")  # an old version that was not deleted
    await library.ghost("nobody", 1, "Comets have tails of ice.")  # a document that nobody knows
    found = await library.search("tails of comets")
    texts = {one.hit.text for one in found.passages}
    assert "Comets have tails of dust." in texts
    assert not texts & {"Comets have tails of fire.", "Comets have tails of ice."}
    assert found.walled >= 2
    assert found.searches == 2, "a hit of another version than the live one: it looked once more"


async def test_narrowed_readers_hide_at_once_and_widened_ones_wait_for_the_new_version(library: Library) -> None:
    await library.publish(library.accepted("narrow", "Plovers nest on shingle."))
    assert "Plovers nest on shingle." in await library.texts("plovers", "eve")
    narrowed = library.accepted("narrow", "Plovers nest on shingle.", readers=["user:ann"])
    await library.fold(narrowed)
    assert "Plovers nest on shingle." not in await library.texts("plovers", "eve"), "before any step ran"
    assert "Plovers nest on shingle." in await library.texts("plovers", "ann")
    await library.run(narrowed)
    widened = library.accepted("narrow", "Plovers nest on shingle.", readers=["user:ann", "user:eve"])
    await library.fold(widened)
    assert "Plovers nest on shingle." not in await library.texts("plovers", "eve"), (
        "its own readers do not allow it yet"
    )
    await library.run(widened)
    assert "Plovers nest on shingle." in await library.texts("plovers", "eve")


async def test_a_revoked_collection_and_a_deleted_one_are_found_no_more(library: Library) -> None:
    await library.collection("leased", owner="bob", readers=("user:eve",))
    await library.publish(library.accepted("lease", "Tenants pay in corn.", "leased"))
    assert "Tenants pay in corn." in await library.texts("tenants", "eve")
    changed = CollectionReadersChanged(collection_id="leased", readers=[], changed_by="bob")
    await library.fold(library.received(changed, ACCESS_CHANGES))
    assert "Tenants pay in corn." not in await library.texts("tenants", "eve")
    assert "Tenants pay in corn." in await library.texts("tenants", "bob")
    deleted = CollectionDeleted(collection_id="leased", deleted_by="bob")
    await library.fold(library.received(deleted, ACCESS_CHANGES))
    assert "Tenants pay in corn." not in await library.texts("tenants", "bob")


async def test_withdrawn_passages_that_fill_the_first_look_do_not_hide_the_others(library: Library) -> None:
    await library.collection("crowd")
    for number in range(8):
        received = library.accepted(f"gone{number}", f"Larks rise singing, verse {number}.", "crowd")
        await library.publish(received)
        await library.fold(library.withdrawn(f"gone{number}", "crowd"))
    await library.publish(library.accepted("left", "A lark was seen.", "crowd"))
    found = await library.search("larks rise singing", collections=["crowd"], limit=2)
    assert [one.hit.text for one in found.passages] == ["A lark was seen."]
    assert found.walled >= 6


async def test_being_an_administrator_does_not_open_peoples_words(library: Library) -> None:
    await library.collection("diary", owner="bob", readers=())
    await library.publish(library.accepted("page", "Dear diary, it rains.", "diary"))
    async with session(library.searching._db, "ann", {"public", "user:ann", "scope:admin"}) as db:
        assert "diary" not in (await readable_collections(db, None, 4096)).collections
        assert await standings(db, 1, [("diary", "page")]) == {}


async def test_over_the_most_collections_the_error_says_what_to_do(library: Library) -> None:
    for number in range(3):
        await library.collection(f"many{number}", owner="zoe", readers=())
    limits = library.settings.limits.model_copy(update={"readable_collections": 2})
    settings = library.settings.model_copy(update={"limits": limits})
    searching = library.searching
    few = Search(settings, searching._client, searching._embedder, searching._db)
    with pytest.raises(Invalid, match="name those to search in"):
        await few.search(Question(text="x", limit=1), "zoe", {"user:zoe"})
    named = Question(text="x", limit=1, collections=["many0"])
    assert (await few.search(named, "zoe", {"user:zoe"})).passages == []


async def test_who_reads_nothing_finds_nothing_and_is_told_why(library: Library) -> None:
    found = await library.searching.search(Question(text="x", limit=3, collections=["no-such"]), "eve", {"user:eve"})
    assert (found.passages, found.hits) == ([], 0)
    assert found.incomplete is not None


def test_the_filter_stands_in_both_arms_and_never_around_them() -> None:
    readable = Readable(["c"], ["user:a"], [("c", "gone")])
    body = passages_query("words", _vector(), readable, 24, 200)
    assert set(body["query"]) == {"hybrid"}
    words, meaning = body["query"]["hybrid"]["queries"]
    assert words["bool"]["filter"] == permission_filter(readable)
    (nearest,) = meaning["bool"]["must"]
    assert nearest["knn"]["embedding"]["filter"] == {"bool": {"filter": permission_filter(readable)}}


def test_the_wall_keeps_live_versions_of_readable_documents_only() -> None:
    hits = [_hit("a", 1), _hit("a", 2), _hit("b", 1)]
    walled = wall(hits, {("c", "a"): Standing(2, None)})
    assert [hit.version for hit, _ in walled.kept] == [2]
    assert (walled.held, walled.flipped, walled.hopeless) == (2, True, [("c", "b")])


def _hit(document_id: str, version: int) -> Hit:
    return Hit("c", document_id, version, 0, None, [], "text", None, 0, 4, None, 1.0, 1.0, 1.0)


def _vector() -> NDArray[np.float32]:
    return np.zeros(384, np.float32)
