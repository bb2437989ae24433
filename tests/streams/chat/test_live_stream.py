"""An attempt's events on `answers-live`: dense, in order, and its start there whether or not anything follows."""

import asyncio

import pytest

from infra.kafka.publisher import Publisher
from infra.settings import Settings
from schemas.event import now_ms, uuid7
from streams.chat.live_stream import LiveStream
from streams.chat.rights import Rights
from streams.chat.turns import Claim
from tests.kafka_reading import all_of
from tests.streams.conftest import Stand
from topics.catalogue import ANSWERS_LIVE

SECONDS = 30


def an_attempt(publisher: Publisher) -> tuple[LiveStream, str]:
    """A stream, and its conversation."""
    claim = Claim(uuid7(), uuid7(), now_ms(), 0, False, None, now_ms(), Rights((), False, {}))
    return LiveStream(publisher, claim, 3), claim.conversation_id


async def on_the_log(settings: Settings, conversation_id: str) -> list[tuple[str, int]]:
    """Type and time (ms) of a conversation's events."""
    found = [record for record in await all_of(settings, ANSWERS_LIVE) if record.key == conversation_id.encode()]
    return [(dict(record.headers)["type"].decode(), record.timestamp) for record in found]


async def test_a_start_that_readers_are_not_shown_goes_with_the_first_words(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.chat.live_stream.HOLD_SECONDS", 600.0)
    stream, conversation_id = an_attempt(stand.publisher)
    await stream.started(retrieving=False)
    await asyncio.sleep(0.1)
    said_at = now_ms()
    await stream.extend("a")
    await stream.extend("b")
    await stream.settled()
    (first, started_at), (second, _), (third, _) = await on_the_log(stand.settings, conversation_id)
    assert (first, second, third, stream.seq) == ("AnswerStarted", "AnswerExtended", "AnswerExtended", 3)
    assert started_at >= said_at


async def test_the_start_of_an_attempt_whose_model_says_nothing_is_on_the_log_soon(stand: Stand) -> None:
    stream, conversation_id = an_attempt(stand.publisher)
    await stream.started(retrieving=False)
    async with asyncio.timeout(SECONDS):
        while not (found := await on_the_log(stand.settings, conversation_id)):
            await asyncio.sleep(0.05)
    await stream.extend("late")
    await stream.settled()
    assert [kind for kind, _ in found] == ["AnswerStarted"]
    assert [kind for kind, _ in await on_the_log(stand.settings, conversation_id)] == [
        "AnswerStarted",
        "AnswerExtended",
    ]


async def test_an_attempt_that_ends_without_a_word_has_its_start_on_the_log(stand: Stand) -> None:
    stream, conversation_id = an_attempt(stand.publisher)
    await stream.started(retrieving=False)
    await stream.settled()
    assert [kind for kind, _ in await on_the_log(stand.settings, conversation_id)] == ["AnswerStarted"]


async def test_a_start_that_readers_are_shown_is_sent_at_once(stand: Stand) -> None:
    stream, conversation_id = an_attempt(stand.publisher)
    await stream.started(retrieving=True)
    sent_at = now_ms()
    await asyncio.sleep(0.1)
    await stream.settled()
    ((kind, started_at),) = await on_the_log(stand.settings, conversation_id)
    assert kind == "AnswerStarted"
    assert started_at <= sent_at
