"""A turn that nobody can read still ends: dead letter, record, and the end of its stream."""

import asyncio

from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.answers import AnswerEnded, AnswerRecorded
from schemas.codec import Codec, Encoded
from schemas.event import Event, uuid7
from tests.api.house import open_house, superuser
from tests.chatting import answering, ended, follow
from tests.kafka_reading import all_of
from topics.catalogue import ANSWERS, ANSWERS_LIVE, DEAD_LETTERS, TURNS, Topic

REQUESTED = """insert into state.requests (reference, owner, hash, topic, record_key, "position")
  values (%s, %s, %s, %s, %s, %s)"""


async def events(settings: Settings, topic: Topic) -> list[Event]:
    """Every event on a topic of ours."""
    codec = Codec(RegistryClient(settings))
    return [
        await codec.decode(topic.name, topic.events, r.value, dict(r.headers)) for r in await all_of(settings, topic)
    ]


async def test_a_turn_that_nobody_can_read_fails_by_the_name_in_its_header(settings: Settings) -> None:
    turn_id, where = uuid7(), uuid7()
    async with open_house(settings) as house, answering(settings):
        anna, bob = await house.user("anna"), await house.user("bob")
        with superuser(settings) as db:  # it was accepted from Anna
            row = [turn_id, "anna", b"", "turns", where, "0:0"]
            db.execute(REQUESTED, row)
        nonsense = Encoded(b"no Avro at all", [("turn_id", turn_id.encode())])
        await house.publisher.publish_bytes(TURNS, where, nonsense)
        await house.publisher.publish_bytes(TURNS, where, Encoded(b"nor this", []))
        async with asyncio.timeout(60):
            while not (ends := [e for e in await events(settings, ANSWERS_LIVE) if isinstance(e, AnswerEnded)]):
                await asyncio.sleep(0.1)
        shown = await ended(anna, turn_id)
        assert shown["status"] == "failed"
        assert "unreadable" in shown["reason"]
        assert (await follow(anna, turn_id))[-1].data["reason"] == shown["reason"]
        assert (await bob.get(f"/v1/turns/{turn_id}")).status_code == 404
    recorded = [e for e in await events(settings, ANSWERS) if isinstance(e, AnswerRecorded)]
    assert [(e.turn_id, e.status) for e in recorded] == [(turn_id, "failed")]
    assert "unreadable" in (recorded[0].reason or "")
    assert [(e.turn_id, e.attempt, e.status) for e in ends] == [(turn_id, recorded[0].attempt, "failed")]
    assert len(await all_of(settings, DEAD_LETTERS)) >= 1
