"""Each server away for 20 s: what was accepted is answered when it is back, and the stream says what it waits for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from infra.settings import Settings
from schemas.access import CollectionCreated
from tests.faults.turns.home import Home, open_home
from tests.faults.turns.processes import until
from tests.faults.turns.reader import Reader
from tests.servers import Servers

pytestmark = pytest.mark.timeout(300)
AWAY_SECONDS = 20.0
LONG_SECONDS = 35.0  # longer than a request to the broker may take
OURS = ("api-1", "api-2", "views", "chat")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(breakable_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """A home on servers that may be broken, with a collection to search."""
    async with open_home(breakable_settings, tmp_path_factory.mktemp("home")) as opened:
        collection = CollectionCreated(collection_id="papers", name="Papers", owner="ada", readers=["user:ada"])
        await opened.house.access(collection)
        await opened.processes.ready(*OURS)
        yield opened


@asynccontextmanager
async def away(
    servers: Servers, *names: str, how: str = "stopped", seconds: float = AWAY_SECONDS
) -> AsyncIterator[None]:
    """Servers that are stopped, killed or frozen for a while; back and ready at the end."""
    gone = {"stopped": servers.stop, "killed": servers.kill, "frozen": servers.freeze}[how]
    back = servers.thaw if how == "frozen" else servers.start
    for name in names:
        await asyncio.to_thread(gone, name)
    since = asyncio.get_running_loop().time()
    try:
        yield
        await asyncio.sleep(since + seconds - asyncio.get_running_loop().time())
    finally:
        for name in names:
            await asyncio.to_thread(back, name)


async def begin(home: Home, model: str = "words") -> tuple[list[Reader], list[asyncio.Task[Reader]]]:
    """Answers that run, and one that waits behind the first of them."""
    conversation = await home.conversation()
    first = home.reader(await home.ask(150, 30, conversation, model))
    second = home.reader(await home.ask(20, 10, conversation, model), first=1)
    third = home.reader(await home.ask(150, 30, model=model), first=1)
    readers = [first, second, third]
    reading = [asyncio.create_task(reader.follow(120)) for reader in readers]
    await until(lambda: len(first.text) > 30 and len(third.text) > 30, 60, "no answer runs")
    return readers, reading


def assert_that_nobody_died(home: Home) -> None:
    dead = [name for name in OURS if home.processes.is_gone(name)]
    assert not dead, home.processes.output(dead[0])[-3000:]


@pytest.mark.parametrize(
    ("server", "how", "seconds"),
    [
        ("kafka", "stopped", LONG_SECONDS),
        ("kafka", "frozen", AWAY_SECONDS),
        ("postgres", "stopped", AWAY_SECONDS),
        ("postgres", "frozen", AWAY_SECONDS),
    ],
)
async def test_log_and_database_away(
    home: Home, breakable_servers: Servers, server: str, how: str, seconds: float
) -> None:
    readers, reading = await begin(home)
    async with away(breakable_servers, server, how=how, seconds=seconds):
        asking = asyncio.create_task(home.ask(20, 10))  # it asks until it is told that the turn is accepted
        await until(lambda: server in readers[0].waited + readers[2].waited, 60, "nobody said what is waited for")
    later = home.reader(await asking)
    await asyncio.gather(*reading, later.follow())
    assert await home.wrong([*readers, later]) == []
    assert_that_nobody_died(home)


async def test_the_model_server_away(home: Home, breakable_servers: Servers) -> None:
    readers, reading = await begin(home)
    async with away(breakable_servers, "triton", how="killed"):  # stopped in order, it ends what it has begun
        meanwhile = home.reader(await home.ask(20, 10))
        reading.append(asyncio.create_task(meanwhile.follow(120)))
        waiting = [readers[0], readers[2], meanwhile]
        await until(lambda: all("triton" in reader.waited for reader in waiting), 60, "not all said what they wait for")
    await asyncio.gather(*reading)
    assert await home.wrong([*readers, meanwhile]) == []
    assert_that_nobody_died(home)


async def test_search_and_schema_registry_away(home: Home, breakable_servers: Servers, tmp_path: Path) -> None:
    async with away(breakable_servers, "opensearch", "registry"):
        searching = home.reader(await home.ask(20, 10, model="reading"))
        reading = asyncio.create_task(searching.follow(120))
        await until(lambda: "opensearch" in searching.waited, 60, "nobody said that the search is away")
        others = home.reader(await home.ask(20, 10))
        await others.follow(60)
        assert others.ended, "an answer that searches nothing waits for nobody"
        await anew_without_the_registry(home)
        home.processes.start("stranger", "streams.chat", TURNLOG_DATA=str(tmp_path))
        await until(lambda: '"server": "registry"' in home.processes.output("stranger"), 60, "it does not say so")
        assert not searching.ended
    await reading
    assert await home.wrong([searching, others]) == []
    await home.processes.ready("stranger", seconds=100)
    assert await home.processes.end("stranger") == [0]
    assert_that_nobody_died(home)


async def anew_without_the_registry(home: Home) -> None:
    """A worker that starts again knows its schemas: they are kept on disk."""
    home.processes.kill("chat")
    home.start_chat()
    reader = home.reader(await home.ask(20, 10))
    await reader.follow(90)
    assert await home.wrong([reader]) == []
