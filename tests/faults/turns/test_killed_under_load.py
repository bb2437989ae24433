"""kill -9 of the worker and of an API replica, again and again under load: exactly one record, every reader whole."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import chain

import pytest

from tests.faults.turns.home import Home
from tests.faults.turns.reader import Reader

pytestmark = pytest.mark.timeout(300)
KILLS = 5
AT_ONCE = 12
LONGEST_SECONDS = 2.0


async def load(home: Home, dice: random.Random, over: asyncio.Event) -> list[Reader]:
    """So many askers, each asking again as soon as it has its answer; half of the readers leave and come back."""

    async def asker(number: int) -> list[Reader]:
        found: list[Reader] = []
        conversation = await home.conversation()
        while not over.is_set():
            turn_id = await home.ask(dice.randrange(20, 120), 12, conversation)
            reader = home.reader(turn_id, first=number % 2, leaves_after=7 * (len(found) % 2))
            found.append(await reader.follow())
        return found

    return list(chain.from_iterable(await asyncio.gather(*(asker(number) for number in range(AT_ONCE)))))


async def under_load(home: Home, kill: Callable[[], Awaitable[None]], seed: int) -> list[Reader]:
    """Kills while the load runs; gives all readers."""
    dice, over = random.Random(seed), asyncio.Event()
    loading = asyncio.create_task(load(home, dice, over))
    for _ in range(KILLS):
        await asyncio.sleep(dice.uniform(0.5, LONGEST_SECONDS))
        await kill()
    over.set()
    return await loading


async def test_a_worker_killed_again_and_again(home: Home) -> None:
    async def kill() -> None:
        home.processes.kill("chat")
        home.start_chat()
        await home.processes.ready("chat")

    await home.processes.ready("chat")
    readers = await under_load(home, kill, 11)
    assert await home.wrong(readers) == []
    assert sum(reader.restarts for reader in readers) >= KILLS, "answers were cut in the middle"


async def test_a_replica_killed_again_and_again(home: Home) -> None:
    async def kill() -> None:
        home.processes.kill("api-1")
        home.start_api("api-1")
        await home.processes.ready("api-1")

    readers = await under_load(home, kill, 12)
    assert await home.wrong(readers) == []
    assert sum(reader.broken for reader in readers if not reader.leaves_after) >= KILLS, "connections were cut"
    assert [reader.restarts for reader in readers if reader.restarts] == [], "no answer was made anew for it"
