"""Servers away: at the start, and under load. The worker waits, says for what, and goes on by itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.faults.delivery.chaos import Chaos, free_port
from tests.servers import Servers

pytestmark = pytest.mark.timeout(300)  # processes start and end, on a machine that may be busy

AWAY_SECONDS = 10.0


async def test_a_worker_that_starts_before_its_broker_waits_says_so_and_then_works(
    breakable_servers: Servers, fragile_chaos: Chaos
) -> None:
    chaos, port = fragile_chaos, free_port()
    await chaos.put("k", 0.05)
    await asyncio.to_thread(breakable_servers.stop, "kafka")
    try:
        chaos.start("early", TURNLOG_HEALTH_PORT=str(port))
        await chaos.until(lambda: "waiting for a server" in chaos.output("early"))
        assert '"server": "kafka"' in chaos.output("early")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
            assert (await http.get("/live")).status_code == 200
            ready = await http.get("/ready")
            assert (ready.status_code, json.loads(ready.text)["waits_for"]) == (503, {"start": "Kafka"})
    finally:
        await asyncio.to_thread(breakable_servers.start, "kafka")
    await chaos.works("early")
    assert await chaos.end("early") == 0


async def test_a_broker_that_is_killed_and_comes_back_costs_nothing_but_time(
    breakable_servers: Servers, fragile_chaos: Chaos
) -> None:
    chaos = fragile_chaos
    chaos.start("stays")
    feeding = asyncio.create_task(feed(chaos))
    await chaos.works("stays")
    await asyncio.to_thread(breakable_servers.kill, "kafka")
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(breakable_servers.start, "kafka")
    back = len(chaos.ids("end"))
    await chaos.until(lambda: len(chaos.ids("end")) > back + 20)
    feeding.cancel()
    await asyncio.wait([feeding])
    await chaos.until(lambda: chaos.ids("end") >= set(chaos.sent))
    said = await chaos.receipts()
    assert [name for name in chaos.sent if not said[name]] == []
    assert chaos.overlaps_and_disorder() == []
    assert await chaos.end("stays") == 0, "the same process: it never crashed"


async def test_a_worker_that_starts_before_postgres_and_the_registry_waits_for_each_in_turn(
    chaos: Chaos, tmp_path: Path
) -> None:
    registry, postgres = (
        urlsplit(chaos.settings.registry_url),
        (chaos.settings.postgres_host, chaos.settings.postgres_port),
    )
    assert registry.hostname is not None
    assert registry.port is not None
    ports = free_port(), free_port()
    await chaos.put("k", 0.05)
    chaos.start(
        "early",
        TURNLOG_DATA=str(tmp_path / "empty"),  # nothing is known of the registry's ids
        TURNLOG_REGISTRY_URL=f"http://127.0.0.1:{ports[0]}{registry.path}",
        TURNLOG_POSTGRES_PORT=str(ports[1]),
    )
    await chaos.until(lambda: '"server": "registry"' in chaos.output("early"))
    async with forward(ports[0], registry.hostname, registry.port):
        await chaos.until(lambda: '"server": "postgres"' in chaos.output("early"))
        async with forward(ports[1], *postgres):
            await chaos.works("early")
            assert await chaos.end("early") == 0


@asynccontextmanager
async def forward(port: int, host: str, to: int) -> AsyncIterator[None]:
    """A port that leads to a server, from now on."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, to)
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


async def feed(chaos: Chaos) -> None:
    """Ten events a second; while the broker is away they wait in the producer."""
    while True:
        await chaos.put(f"c{len(chaos.sent) % 24}", 0.2)
        await asyncio.sleep(0.1)
