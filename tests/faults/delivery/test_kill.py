"""kill -9 under load: nothing lost, nothing committed that was not finished, order per key, never twice at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.delivery.chaos import Chaos

pytestmark = pytest.mark.timeout(300)  # processes start and end, on a machine that may be busy

KEYS = 40


@asynccontextmanager
async def load(chaos: Chaos, dice: random.Random) -> AsyncIterator[None]:
    """Sixteen events a second; one in twelve takes two seconds, the others a twentieth."""

    async def feed() -> None:
        while True:
            await chaos.put(f"c{dice.randrange(KEYS)}", 2.0 if dice.random() < 0.08 else 0.05)
            await asyncio.sleep(1 / 16)

    feeding = asyncio.create_task(feed())
    try:
        yield
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])


async def nothing_is_lost(chaos: Chaos) -> None:
    await chaos.until(lambda: chaos.ids("end") >= set(chaos.sent))
    said = await chaos.receipts()
    assert [name for name in chaos.sent if not said[name]] == [], "each finished event has its receipt on the topic"
    assert chaos.overlaps_and_disorder() == []


async def test_a_worker_killed_again_and_again_loses_nothing(chaos: Chaos) -> None:
    dice = random.Random(7)
    async with load(chaos, dice):
        for life in range(5):
            name = f"life-{life}"
            chaos.start(name, TURNLOG_INSTANCE="one")  # restarted in place: no session time-out to wait for
            await chaos.works(name)
            await asyncio.sleep(dice.uniform(0.0, 3.0))
            chaos.kill(name)
            assert chaos.claimed_and_not_finished() == []
    chaos.start("last", TURNLOG_INSTANCE="one")
    await nothing_is_lost(chaos)
    assert await chaos.end("last") == 0


async def test_of_two_workers_one_is_killed_and_the_other_goes_on_with_its_partitions(chaos: Chaos) -> None:
    dice = random.Random(8)
    for name in ("a", "b"):
        chaos.start(name)
    async with load(chaos, dice):
        await chaos.works("a")
        await chaos.works("b")
        await asyncio.sleep(dice.uniform(0.5, 2.0))
        chaos.kill("a")
        assert chaos.claimed_and_not_finished() == []
        chaos.start("c")
        await chaos.works("c")
        await asyncio.sleep(dice.uniform(0.5, 2.0))
        chaos.kill("b")
        assert chaos.claimed_and_not_finished() == []
    await nothing_is_lost(chaos)
    assert await chaos.end("c") == 0
