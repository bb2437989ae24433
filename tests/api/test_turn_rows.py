"""A turn against which nothing can be said: its row goes beside its record, and nothing that was promised changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest_asyncio

from api.accept import Accept
from infra.postgres.pool import open_pool
from infra.settings import Settings
from schemas.answers import AnswerRecorded
from tests.api.house import House, after, open_house, superuser
from tests.chatting import SECONDS, conversation
from tests.examples import example
from tests.kafka_reading import all_of
from topics.catalogue import ANSWERS, TURNS

ASK = {"question": "?"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    """A house where nobody answers."""
    async with open_house(settings) as opened:
        yield opened


@asynccontextmanager
async def entering_held(house: House, user_id: str, path: str) -> AsyncIterator[None]:
    """After one more turn, of which the replica learns enough to be sure, nobody enters a turn of this user."""
    with superuser(house.settings) as db, db.transaction():
        assert (await house.people[user_id].post(path, json=ASK)).status_code == 202
        db.execute("select pg_advisory_xact_lock(7422, hashtext(%s))", [f"user:{user_id}"])
        yield


async def asked_of(house: House, conversation_id: str, count: int) -> list[str]:
    """The turns of a conversation on the log, as soon as there are so many."""
    async with asyncio.timeout(SECONDS):
        while True:
            records = [r for r in await all_of(house.settings, TURNS) if r.key == conversation_id.encode()]
            if len(records) >= count:
                return [dict(record.headers)["turn_id"].decode() for record in records]
            await asyncio.sleep(0.05)


def in_flight(house: House, user_id: str) -> list[str]:
    """The turns that hold a place."""
    with superuser(house.settings) as db:
        rows = db.execute("select turn_id from state.turns_in_flight where holder = %s", [f"user:{user_id}"])
        return [turn_id for (turn_id,) in rows]


async def begun(house: House, user_id: str) -> tuple[httpx.AsyncClient, str, str]:
    """Somebody who has asked once, in a conversation."""
    client = await house.user(user_id)
    where = await conversation(client)
    path = f"/v1/conversations/{where}/turns"
    assert (await client.post(path, json=ASK)).status_code == 202
    return client, where, path


async def test_the_record_does_not_wait_for_the_row_and_the_answer_waits_for_both(house: House) -> None:
    client, where, path = await begun(house, "ada")
    async with entering_held(house, "ada", path):
        asking = asyncio.create_task(client.post(path, json=ASK))
        turns = await asked_of(house, where, 3)
        assert not asking.done()
    answer = await asking
    assert (answer.status_code, answer.json()["turn_id"]) == (202, turns[2])
    with superuser(house.settings) as db:
        async with asyncio.timeout(SECONDS):
            while db.execute(
                'select 1 from state.requests where reference = %s and "position" is null', [turns[2]]
            ).fetchone():
                await asyncio.sleep(0.05)
    assert await asked_of(house, where, 3) == turns, "it was produced once"


async def test_with_a_key_the_row_comes_first(house: House) -> None:
    client, where, path = await begun(house, "bea")
    async with entering_held(house, "bea", path):
        asking = asyncio.create_task(client.post(path, json=ASK, headers={"idempotency-key": "k"}))
        await asyncio.sleep(0.5)  # nothing can show that something does not come
        assert len(await asked_of(house, where, 2)) == 2
    assert (await asking).status_code == 202
    assert len(await asked_of(house, where, 3)) == 3


async def test_the_places_are_counted_one_by_one_whoever_was_sure(house: House) -> None:
    client, _, path = await begun(house, "cleo")
    answers = [(await client.post(path, json=ASK)).status_code for _ in range(9)]
    assert answers == [202] * 7 + [429] * 2
    assert len(in_flight(house, "cleo")) == 8


async def test_a_deleted_conversation_takes_no_turn_whatever_is_remembered_of_it(house: House) -> None:
    client, where, path = await begun(house, "dora")
    gone = await client.delete(f"/v1/conversations/{where}")
    assert gone.is_success
    held = len(in_flight(house, "dora"))
    refused = await client.post(path, json=ASK, headers=after(gone))
    assert refused.status_code == 404
    assert len(in_flight(house, "dora")) == held


async def test_somebody_elses_conversation_is_never_sure(house: House) -> None:
    _, where, path = await begun(house, "eva")
    stranger, _, _ = await begun(house, "finn")
    assert (await stranger.post(path, json=ASK)).status_code == 404
    assert len(await asked_of(house, where, 1)) == 1


async def test_a_place_taken_after_the_answer_is_given_back(house: House) -> None:
    client, where, path = await begun(house, "gus")
    async with entering_held(house, "gus", path):
        asking = asyncio.create_task(client.post(path, json=ASK))
        third = (await asked_of(house, where, 3))[2]
        record = replace(example(AnswerRecorded), turn_id=third, conversation_id=where, parent_turn_id=None)
        await house.tell(ANSWERS, where, record)
    assert (await asking).status_code == 202
    assert third in in_flight(house, "gus")
    async with open_pool(house.settings, "api", size=1) as db:
        await Accept(db, house.publisher, house.settings.limits)._forget()
    held = in_flight(house, "gus")
    assert third not in held
    assert len(held) == 2, "those before it have no answer yet"


async def test_a_conversation_that_a_completion_began_takes_a_turn_before_the_views_know_it(house: House) -> None:
    client, stranger = await house.user("hal"), await house.user("ida")
    body = {"model": "words", "stream": True, "messages": [{"role": "user", "content": "words: count=1"}]}
    with superuser(house.settings) as db, db.transaction():
        db.execute("lock table views.conversations in exclusive mode")
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            where = response.headers["x-turnlog-turn"]
        path = f"/v1/conversations/{where}/turns"
        assert (await client.post(path, json=ASK)).status_code == 202
        assert (await stranger.post(path, json=ASK)).status_code == 404
