"""While the broker is away a question gets an honest answer: its turn's name, and that nobody knows yet."""

import asyncio
import time

from infra.settings import Settings
from tests.api.house import open_house, until_ready
from tests.chatting import Said, answering, conversation, follow, joined, words
from tests.kafka_reading import all_of
from tests.servers import Servers
from topics.catalogue import ANSWERS, TURNS

UNKNOWN_SECONDS = 2.0


async def test_a_question_without_a_broker_is_a_turn_whose_outcome_is_unknown_until_asked_again(
    breakable_settings: Settings, breakable_servers: Servers
) -> None:
    limits = breakable_settings.limits.model_copy(update={"request_unknown_seconds": UNKNOWN_SECONDS})
    settings = breakable_settings.model_copy(update={"limits": limits})
    async with open_house(settings) as house, answering(settings):
        anna = await house.user("anna")
        path = f"/v1/conversations/{await conversation(anna)}/turns"
        body, key = {"question": "words: count=5", "model": "words"}, {"idempotency-key": "once"}
        breakable_servers.freeze("kafka")
        try:
            began = time.monotonic()
            unknown = await anna.post(path, json=body, headers=key)
            assert UNKNOWN_SECONDS <= time.monotonic() - began < UNKNOWN_SECONDS + 5
            assert unknown.status_code == 503
            assert unknown.json()["type"] == "urn:turnlog:outcome-unknown"
            turn_id = unknown.json()["turn_id"]
            reading = asyncio.create_task(follow(anna, turn_id, until=says_kafka))
            assert (await reading)[-1].data == {"server": "kafka"}
            ready = await anna.get("/ready")
            assert (ready.status_code, ready.json()["waits_for"]) == (503, {"kafka": "it does not answer"})
        finally:
            breakable_servers.thaw("kafka")
        await until_ready(house.url)
        again = await anna.post(path, json=body, headers=key)
        assert again.status_code == 202
        assert again.json()["turn_id"] == turn_id
        assert joined(await follow(anna, turn_id)) == words(5)
    assert len({record.key for record in await all_of(settings, TURNS)}) == 1
    assert len(await all_of(settings, ANSWERS)) == 1


def says_kafka(said: Said) -> bool:
    """The replica itself says that it misses the broker."""
    return said.kind == "waiting"
