"""All of our processes end between accept and answer: what was accepted is answered, in the order it was asked."""

import asyncio
import signal

import pytest

from tests.faults.turns.home import Home
from tests.faults.turns.reader import Reader

pytestmark = pytest.mark.timeout(300)
CONVERSATIONS, TURNS_EACH = 6, 4
OURS = ("api-1", "api-2", "views", "chat")


@pytest.mark.parametrize("how", ["killed", "stopped in order"])
async def test_all_end_and_start_again_while_turns_wait_for_their_answers(home: Home, how: str) -> None:
    await home.processes.ready("chat")
    asked = [await conversation(home) for _ in range(CONVERSATIONS)]
    readers = [home.reader(turn_id, first=number % 2) for turns in asked for number, turn_id in enumerate(turns)]
    reading = [asyncio.create_task(reader.follow(90)) for reader in readers]
    if how == "killed":
        home.processes.kill(*OURS)
    else:
        codes = await home.processes.end(*OURS)
        assert set(codes) <= {0, -signal.SIGTERM}, "uvicorn ends in order, then by the signal that it was sent"
    for name in home.replicas:
        home.start_api(name)
    home.start_views()
    home.start_chat()
    await asyncio.gather(*reading)
    assert await home.wrong(readers) == []
    await in_order(home, asked, readers)


async def conversation(home: Home) -> list[str]:
    """Turns of one conversation, the first a long one: the others wait for it."""
    name = await home.conversation()
    return [await home.ask(150 if not number else 20, 20, name) for number in range(TURNS_EACH)]


async def in_order(home: Home, asked: list[list[str]], readers: list[Reader]) -> None:
    records = await home.records()
    for turns in asked:
        told = [records[turn_id] for turn_id in turns]
        assert [record.event.parent_turn_id for record in told] == [None, *turns[:-1]]
        assert [record.offset for record in told] == sorted(record.offset for record in told)
        assert len({record.partition for record in told}) == 1
