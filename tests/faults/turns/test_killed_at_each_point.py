"""kill -9 of the chat worker at each point between claim and ack: one record, and readers who get the whole of it."""

import asyncio

import pytest

from tests.faults.turns.home import Home
from tests.faults.turns.processes import until

pytestmark = pytest.mark.timeout(300)
BEFORE_TEXT = ("claimed", "started", "retrieved")
AFTER_TEXT = ("generated",)
AFTER_SEAL = ("sealed", "recorded", "ended")
WORDS, DELAY_MS = 40, 10


async def killed_at(home: Home, point: str) -> int:
    """A turn whose worker dies there, and another one that answers it; gives how many restarts its reader saw."""
    home.break_at(point)
    conversation = await home.conversation()
    turn_id = await home.ask(WORDS, DELAY_MS, conversation, "reading")
    reader = home.reader(turn_id)
    reading = asyncio.create_task(reader.follow(60))
    await until(lambda: home.processes.is_gone("chat"), 90, f"nobody died at {point}")
    home.start_chat()
    following = await home.ask(2, 1, conversation)  # answered when the next worker has done what it had to
    readers = [await reading, await home.reader(following).follow(), await home.reader(turn_id, first=1).follow()]
    assert await home.wrong(readers) == []
    return reader.restarts


@pytest.mark.parametrize("point", BEFORE_TEXT)
async def test_killed_before_the_text_the_turn_is_answered_by_the_next_worker(home: Home, point: str) -> None:
    await killed_at(home, point)


@pytest.mark.parametrize("point", AFTER_TEXT)
async def test_killed_between_text_and_seal_readers_see_a_restart_and_then_the_whole(home: Home, point: str) -> None:
    assert await killed_at(home, point) == 1


async def test_killed_in_the_middle_of_the_text_readers_see_a_restart_and_then_the_whole(home: Home) -> None:
    turn_id = await home.ask(2 * WORDS, 3 * DELAY_MS, model="reading")
    reader = home.reader(turn_id)
    reading = asyncio.create_task(reader.follow(60))
    await until(lambda: len(reader.text) > 30)
    home.processes.kill("chat")
    home.start_chat()
    await reading
    assert await home.wrong([reader]) == []
    assert reader.restarts == 1


@pytest.mark.parametrize("point", AFTER_SEAL)
async def test_killed_after_the_seal_what_was_sealed_is_said_and_nothing_is_made_anew(home: Home, point: str) -> None:
    assert await killed_at(home, point) == 0
