"""Every turn is answered with the rights that its asker has now, also when nothing is looked for."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from infra.settings import Settings
from schemas.access import UserCreated, UserSwitched
from schemas.answers import AnswerRecorded
from schemas.event import Content, now_ms, uuid7
from schemas.turns import Parameters, Retrieval, TurnRequested
from tests.api.house import House, open_house, superuser
from tests.chatting import answering, ask, conversation, ended
from tests.infra.providers.words_log import noted
from tests.kafka_reading import all_of
from tests.servers import Servers
from topics.catalogue import ANSWERS, TURNS

LISTENING = """ from pg_stat_activity where datname = %s and application_name = 'turnlog chat'
  and query like '%%next_offset from views.offsets%%'"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    """A house whose questions are answered."""
    async with open_house(settings) as opened, answering(settings):
        yield opened


def asked_by(user_id: str) -> TurnRequested:
    """A turn as it lies on the log; no passages are looked for."""
    return TurnRequested(
        turn_id=uuid7(),
        conversation_id=uuid7(),
        user_id=user_id,
        deadline=now_ms() + 60_000,
        model="words",
        question=Content.of("words: count=3"),
        retrieval=Retrieval(passages=0),
        parameters=Parameters(),
    )


async def recorded(house: House, turn_id: str) -> AnswerRecorded:
    """The turn's record, once it is on the log."""
    codec = house.publisher._codec
    async with asyncio.timeout(60):
        while True:
            for one in await all_of(house.settings, ANSWERS):
                event = await codec.decode(ANSWERS.name, ANSWERS.events, one.value, dict(one.headers))
                if isinstance(event, AnswerRecorded) and event.turn_id == turn_id:
                    return event
            await asyncio.sleep(0.1)


async def test_the_record_names_the_rights_although_nothing_was_looked_for(house: House) -> None:
    anna = await house.user("anna")
    turn_id = await ask(anna, await conversation(anna), "words: count=3")
    await ended(anna, turn_id)
    permissions = (await recorded(house, turn_id)).permissions
    assert permissions is not None
    assert permissions.principals == ["public", "user:anna"]


async def test_a_turn_of_a_switched_off_user_fails_and_no_model_is_asked(house: House, servers: Servers) -> None:
    await house.user("otto")
    await house.access(UserSwitched(user_id="otto", enabled=False, changed_by="test"))
    asked = asked_by("otto")
    await house.publisher.publish(TURNS, asked.conversation_id, asked)
    record = await recorded(house, asked.turn_id)
    assert (record.status, record.reason) == ("failed", "there is no such user, or it is switched off")
    assert f"turn={asked.turn_id} " not in servers.words_log.read_text()


async def test_while_the_views_fold_again_what_they_had_no_turn_is_claimed(house: House, servers: Servers) -> None:
    await house.user("lea")
    with superuser(house.settings) as db:
        db.execute("update views.offsets set next_offset = 0 where topic = 'access-changes'")
        lost = db.execute(
            "select pg_terminate_backend(pid), pid" + LISTENING, [house.settings.postgres_database]
        ).fetchall()
        async with asyncio.timeout(60):
            while db.execute("select true, pid" + LISTENING, [house.settings.postgres_database]).fetchall() in (
                [],
                lost,
            ):
                await asyncio.sleep(0.05)
        assert lost
        asked = asked_by("lea")
        await house.publisher.publish(TURNS, asked.conversation_id, asked)
        for _ in range(20):  # it is read within milliseconds
            assert not db.execute("select 1 from state.turns where turn_id = %s", [asked.turn_id]).fetchone()
            await asyncio.sleep(0.1)
    await house.access(UserCreated(user_id="lea", name="Lea", created_by="test"))  # now the worker sees that it must
    await noted(servers, asked.turn_id, "started", 60)
