"""A stop passes every queue: a thousand waiting turns do not delay it, and one that waits is stopped unasked."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import chain

import pytest
import pytest_asyncio

from infra.settings import Settings
from tests.faults.turns.home import Home, open_home
from tests.faults.turns.processes import until
from tests.infra.providers.words_log import noted
from tests.servers import Servers

pytestmark = pytest.mark.timeout(300)
RUNNING, CONVERSATIONS, TURNS_EACH = 8, 100, 10
LONG, DELAY_MS = 20_000, 30
STOP_SECONDS = 15.0  # behind the queue it would be ten minutes


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """A home whose model answers few at once."""
    async with open_home(settings, tmp_path_factory.mktemp("home"), running=RUNNING) as opened:
        yield opened


async def test_a_stop_while_a_thousand_turns_wait_takes_effect_in_seconds(home: Home, servers: Servers) -> None:
    running = [await home.ask(LONG, DELAY_MS) for _ in range(RUNNING)]
    await asyncio.gather(*(noted(servers, turn_id, "started") for turn_id in running))
    queued = await fill_the_queue(home)
    assert len(queued) == CONVERSATIONS * TURNS_EACH == 1000

    stopped = home.reader(running[0])
    reading = asyncio.create_task(stopped.follow(60))
    await until(lambda: stopped.text)
    begun = time.monotonic()
    await home.stop(stopped.turn_id)
    await noted(servers, stopped.turn_id, "cancelled after", STOP_SECONDS)
    await reading
    assert time.monotonic() - begun < STOP_SECONDS
    assert stopped.ended
    assert stopped.ended["status"] == "stopped"

    waiting = home.reader(queued[-1])
    await home.stop(waiting.turn_id)
    await asyncio.gather(*(home.stop(turn_id) for turn_id in running[1:]))
    everybody = [home.reader(turn_id) for turn_id in queued[:-1]]
    await asyncio.gather(waiting.follow(120), *(reader.follow(120) for reader in everybody[::50]))
    assert waiting.ended
    assert (waiting.ended["status"], waiting.text) == ("stopped", "")
    assert f"turn={waiting.turn_id} " not in servers.words_log.read_text(), "its model was never called"
    assert await home.wrong([stopped, waiting], ["stopped"]) == []
    assert await home.wrong(everybody) == []


async def fill_the_queue(home: Home) -> list[str]:
    """A thousand short turns, ten a conversation."""

    async def ten() -> list[str]:
        conversation = await home.conversation()
        return [await home.ask(1, 1, conversation) for _ in range(TURNS_EACH)]

    found: list[str] = []
    for _ in range(0, CONVERSATIONS, 20):
        found += chain.from_iterable(await asyncio.gather(*(ten() for _ in range(20))))
    return found
