"""Thousands of people who wait on one replica: each is told that it is alive, and costs little memory."""

import asyncio
import resource
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.settings import Settings
from tests.api.house import open_house
from tests.chatting import ask, conversation
from tests.faults.turns.processes import Processes

STREAMS = 5000
TOGETHER = 100
KILOBYTES_EACH = 64  # 37 were measured
SECONDS = 120


async def memory(http: httpx.AsyncClient, url: str) -> float:
    """Resident bytes of the replica."""
    text = (await http.get(f"{url}/metrics")).text
    found = {sample.name: sample.value for one in text_string_to_metric_families(text) for sample in one.samples}
    return found["process_resident_memory_bytes"]


@pytest.mark.timeout(600)
async def test_five_thousand_idle_streams_on_one_replica(settings: Settings, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < STREAMS + 1000:
        pytest.fail(f"this machine lets a process open {hard} files only: raise its limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, STREAMS + 1000), hard))
    processes = Processes(settings, tmp_path)
    try:
        async with open_house(settings) as house:
            processes.start("api", "api")
            await processes.ready("api")
            url, anna = processes.url("api"), await house.user("anna")
            turn_id = await ask(anna, await conversation(anna), "words: count=5")  # nobody answers here
            await _fill(url, turn_id, anna)
    finally:
        processes.close()


async def _fill(url: str, turn_id: str, anna: httpx.AsyncClient) -> None:
    address = urlsplit(url)
    head = (
        f"GET /v1/turns/{turn_id}/events HTTP/1.1\r\nhost: x\r\nauthorization: {anna.headers['authorization']}\r\n\r\n"
    )

    async def stream() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=4096)
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return reader, writer

    before = await memory(anna, url)
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    async with asyncio.timeout(SECONDS):
        while len(opened) < STREAMS:
            opened += await asyncio.gather(*(stream() for _ in range(TOGETHER)))
        await asyncio.gather(*(reader.readuntil(b": ping") for reader, _ in opened))  # every one of them
    each = (await memory(anna, url) - before) / STREAMS / 1024
    assert each < KILOBYTES_EACH, f"{each:.0f} kB a stream"
    print(f"{each:.0f} kB a stream")
    assert (await anna.get(f"{url}/v1/me")).status_code == 200
    for _, writer in opened:
        writer.close()
    async with asyncio.timeout(SECONDS):
        while (await anna.get(f"{url}/ready")).status_code != 200:
            await asyncio.sleep(0.1)
