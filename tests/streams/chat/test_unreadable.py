"""A turn that nobody can read still ends: dead letter, record, and the end of its stream."""

import asyncio

from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.answers import AnswerEnded, AnswerRecorded
from schemas.codec import Codec, Encoded
from schemas.event import Event, uuid7
from tests.api.house import open_house
from tests.chatting import answering
from tests.kafka_reading import all_of
from topics.catalogue import ANSWERS, ANSWERS_LIVE, DEAD_LETTERS, TURNS, Topic


async def events(settings: Settings, topic: Topic) -> list[Event]:
    """Every event on a topic of ours."""
    codec = Codec(RegistryClient(settings))
    return [
        await codec.decode(topic.name, topic.events, r.value, dict(r.headers)) for r in await all_of(settings, topic)
    ]


async def test_a_turn_that_nobody_can_read_fails_by_the_name_in_its_header(settings: Settings) -> None:
    turn_id, where = uuid7(), uuid7()
    async with open_house(settings) as house, answering(settings):
        nonsense = Encoded(b"no Avro at all", [("turn_id", turn_id.encode())])
        await house.publisher.publish_bytes(TURNS, where, nonsense)
        await house.publisher.publish_bytes(TURNS, where, Encoded(b"nor this", []))
        async with asyncio.timeout(20):
            while not (ends := [e for e in await events(settings, ANSWERS_LIVE) if isinstance(e, AnswerEnded)]):
                await asyncio.sleep(0.1)
    recorded = [e for e in await events(settings, ANSWERS) if isinstance(e, AnswerRecorded)]
    assert [(e.turn_id, e.status) for e in recorded] == [(turn_id, "failed")]
    assert "unreadable" in (recorded[0].reason or "")
    assert [(e.turn_id, e.attempt, e.status) for e in ends] == [(turn_id, recorded[0].attempt, "failed")]
    assert len(await all_of(settings, DEAD_LETTERS)) >= 1
