"""Claims and seals: one record a turn, whoever else believes to own it; what counts as a try, and who the parent is."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest_asyncio

from infra.kafka.publisher import Publisher
from infra.kafka.records import Received
from infra.postgres.freshness import Freshness
from infra.postgres.pool import open_pool
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.answers import AnswerRecorded
from schemas.codec import Codec, Encoded
from schemas.event import Content, now_ms, uuid7
from schemas.turns import Parameters, Retrieval, TurnRequested
from streams.chat.record import record_of_nothing
from streams.chat.turns import Claim, Sealed, Turns
from streams.views.folds import FOLDS
from tests.api.house import superuser
from topics.catalogue import ANSWERS, TURNS

OFFSETS = count()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def turns(settings: Settings) -> AsyncIterator[Turns]:
    """The claims of an installation."""
    async with open_pool(settings, "chat", size=4) as pool, Freshness.open(settings, "chat") as freshness:
        async with Turns.open(pool, freshness) as opened:
            yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    """Encodes records."""
    registry = RegistryClient(settings)
    await registry.load((ANSWERS, TURNS))
    async with Publisher.open(settings, Codec(registry)) as opened:
        yield opened
    await registry.close()


def asked(conversation_id: str = "", parent: str | None = None) -> Received[TurnRequested]:
    """The next request on the log."""
    event = TurnRequested(
        turn_id=uuid7(),
        conversation_id=conversation_id or uuid7(),
        user_id="anna",
        deadline=now_ms() + 60_000,
        model="words",
        question=Content.of("?"),
        parent_turn_id=parent,
        retrieval=Retrieval(),
        parameters=Parameters(),
    )
    return Received(event, TURNS.name, 3, next(OFFSETS), event.conversation_id.encode(), now_ms())


async def claimed(turns: Turns, request: Received[TurnRequested]) -> Claim:
    claim = await turns.claim(request)
    assert isinstance(claim, Claim)
    return claim


def sealing(publisher: Publisher, claim: Claim, reason: str = "because") -> tuple[AnswerRecorded, Encoded]:
    """A record and its bytes."""
    record = record_of_nothing(claim, reason, now_ms(), "words")
    return record, publisher.encode(ANSWERS, record)


async def test_of_many_that_seal_at_once_one_wins_and_the_others_find_its_bytes(
    turns: Turns, publisher: Publisher
) -> None:
    request = asked()
    claims = [await claimed(turns, request) for _ in range(5)]
    assert [claim.attempt for claim in claims] == sorted({claim.attempt for claim in claims})
    records = [sealing(publisher, claim, f"attempt {n}") for n, claim in enumerate(claims)]
    won = await asyncio.gather(*(turns.seal(c, *r) for c, r in zip(claims, records, strict=True)))
    assert won == [False, False, False, False, True]
    for _ in range(2):
        again = await turns.claim(request)
        assert isinstance(again, Sealed)
        assert again.record is not None
        assert (again.attempt, again.record.value) == (claims[-1].attempt, records[-1][1].value)
    assert not await turns.seal(claims[-1], *records[-1])


async def test_only_an_attempt_that_ended_without_a_word_is_a_try(turns: Turns) -> None:
    request = asked()
    first = await claimed(turns, request)
    assert first.tries == 0
    assert (await claimed(turns, request)).tries == 1
    second = await claimed(turns, request)
    assert second.tries == 2
    await turns.let_go(first)  # an older attempt has nothing to say any more
    await turns.let_go(second)
    assert (await claimed(turns, request)).tries == 2


async def test_attempts_grow_although_the_database_was_lost(settings: Settings, turns: Turns) -> None:
    request = asked()
    before = await claimed(turns, request)
    with superuser(settings) as db:
        db.execute("delete from state.turns where turn_id = %s", [request.event.turn_id])
    assert (await claimed(turns, request)).attempt > before.attempt


async def test_the_parent_is_the_turn_before_in_the_log_and_the_first_claim_fixes_it(turns: Turns) -> None:
    first = asked()
    where = first.event.conversation_id
    second, third = asked(where), asked(where)
    fork = asked(where, parent=first.event.turn_id)
    parents = [(await claimed(turns, one)).parent_turn_id for one in (first, second, third, fork)]
    assert parents == [None, first.event.turn_id, second.event.turn_id, first.event.turn_id]
    later = asked(where)
    again = Received(second.event, TURNS.name, 3, next(OFFSETS), second.key, now_ms())
    assert (await claimed(turns, again)).parent_turn_id == first.event.turn_id
    assert (await claimed(turns, later)).parent_turn_id == fork.event.turn_id


async def test_a_turn_whose_record_the_views_have_is_never_made_again(
    settings: Settings, turns: Turns, publisher: Publisher
) -> None:
    request = asked()
    claim = await claimed(turns, request)
    record, _ = sealing(publisher, claim)
    fold = next(one.fold for one in FOLDS if one.topic is ANSWERS)
    async with open_pool(settings, "views", size=1) as views, views.connection() as db:
        await fold(db, [Received(record, ANSWERS.name, 3, 0, request.key, now_ms())])
    with superuser(settings) as db_now:
        db_now.execute("delete from state.turns where turn_id = %s", [request.event.turn_id])
    found = await turns.claim(request)
    assert isinstance(found, Sealed)
    assert (found.attempt, found.status, found.record) == (claim.attempt, "failed", None)


async def test_a_stop_that_came_before_the_claim_is_seen_by_it(settings: Settings, turns: Turns) -> None:
    request = asked()
    async with open_pool(settings, "api", size=1) as api, api.connection() as db:
        args = [request.event.turn_id, request.event.conversation_id, "anna"]
        await db.execute("select app.stop_turn(%s, %s, %s)", args)
    assert (await claimed(turns, request)).stopped
    assert await turns.stopped([request.event.turn_id, uuid7()]) == [request.event.turn_id]
