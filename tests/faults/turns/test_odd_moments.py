"""The worst moments: a stop after the last word, a request twice on the log, readers after a restart of all."""

import asyncio

import pytest

from api.stream.frames import Place
from schemas.codec import Encoded
from tests.chatting import follow
from tests.faults.turns.home import Home, said
from tests.faults.turns.processes import until
from tests.kafka_reading import all_of
from topics.catalogue import TURNS

pytestmark = pytest.mark.timeout(300)
OURS = ("api-1", "api-2", "views", "chat")


async def test_a_stop_between_the_last_word_and_the_seal_comes_too_late(home: Home) -> None:
    home.break_at("generated", "SIGSTOP")
    reader = home.reader(await home.ask())
    reading = asyncio.create_task(reader.follow(60))
    await until(lambda: home.processes.is_frozen("chat"), 90)
    await home.stop(reader.turn_id)
    home.processes.thaw("chat")
    await reading
    assert await home.wrong([reader]) == []


async def test_a_request_that_lies_twice_on_the_log_is_answered_once(home: Home) -> None:
    conversation = await home.conversation()
    first = await home.ask(conversation=conversation)
    (asked,) = [record for record in await all_of(home.settings, TURNS) if record.key == conversation.encode()]
    again = Encoded(asked.value, list(asked.headers))
    await home.house.publisher.publish_bytes(TURNS, conversation, again)
    await home.reader(first).follow()
    await home.house.publisher.publish_bytes(TURNS, conversation, again)
    following = await home.ask(2, 1, conversation)
    readers = [await home.reader(turn_id).follow() for turn_id in (first, following)]
    assert await home.wrong(readers) == []
    assert (await home.records())[following].event.parent_turn_id == first


async def test_ended_answers_go_on_from_each_place_after_a_restart_of_all(home: Home) -> None:
    await home.processes.ready("chat")
    turn_id = await home.ask()
    heard = await follow(home.house.people["ada"], turn_id)
    home.processes.kill(*OURS)
    for name in home.replicas:
        home.start_api(name)
    home.start_views()
    home.start_chat()
    await home.processes.ready(*home.replicas)
    readers = []
    for number, event in enumerate(heard[:-1]):
        reader = home.reader(turn_id, first=number % 2)
        reader.place = Place(*event.place)
        reader.text = said(home.asked[turn_id])[: reader.place.position]
        readers.append(reader)
    await asyncio.gather(*(reader.follow(60) for reader in readers))
    assert await home.wrong(readers) == []
    assert {reader.restarts for reader in readers} == {0}
