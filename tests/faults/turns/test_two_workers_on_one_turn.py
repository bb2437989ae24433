"""Two workers that hold the same turn, one frozen while the other took over: one seal, nothing forgotten."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from infra.settings import Settings
from tests.faults.turns.home import Home, open_home
from tests.faults.turns.processes import until
from tests.faults.turns.reader import Reader

pytestmark = pytest.mark.timeout(300)
PAIR = ("one", "two")
WORDS, DELAY_MS = 60, 15


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """A home with two workers that come and go as they like: no static membership, so they do take over."""
    async with open_home(settings, tmp_path_factory.mktemp("home"), chats=dict.fromkeys(PAIR, "")) as opened:
        await opened.processes.ready(*PAIR)
        yield opened


async def ask_all(home: Home, count: int) -> list[Reader]:
    """Turns of as many conversations, so that both workers have some."""
    return [home.reader(await home.ask(WORDS, DELAY_MS), first=number % 2) for number in range(count)]


@pytest.mark.parametrize("point", ["generated", "sealed"])
async def test_a_frozen_worker_that_goes_on_later_changes_nothing(home: Home, point: str) -> None:
    home.break_at(point, "SIGSTOP")
    readers = await ask_all(home, 12)
    reading = [asyncio.create_task(reader.follow(100)) for reader in readers]
    await until(lambda: any(home.processes.is_frozen(name) for name in PAIR), 60, "nobody is frozen")
    (frozen,) = [name for name in PAIR if home.processes.is_frozen(name)]
    meanwhile = await ask_all(home, 6)
    reading += [asyncio.create_task(reader.follow(100)) for reader in meanwhile]
    await asyncio.gather(*reading)  # the other one answered all of it
    assert home.processes.is_frozen(frozen)
    taken_over = [reader for reader in readers if reader.restarts]
    home.processes.thaw(frozen)
    after = await ask_all(home, 12)
    await asyncio.gather(*(reader.follow(100) for reader in after))
    again = [await home.reader(reader.turn_id).follow() for reader in taken_over]
    assert await home.wrong([*readers, *meanwhile, *after, *again]) == []
    assert not home.processes.is_gone(frozen), "it lost its partitions, and joined anew"
    assert taken_over, "the other one began again what the frozen one had begun"
