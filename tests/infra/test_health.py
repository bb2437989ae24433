"""/live, /ready and /metrics over HTTP."""

import asyncio

import httpx
from prometheus_client import Counter

from infra.health import Health, serve_health
from infra.metrics import new_registry


async def test_ready_says_what_is_missing_until_nothing_is() -> None:
    health = Health(new_registry())
    health.missing("start", "Kafka")
    async with serve_health(health, "127.0.0.1", 0) as port, client(port) as http:
        assert (await http.get("/live")).status_code == 200
        not_ready = await http.get("/ready")
        assert (not_ready.status_code, not_ready.json()) == (503, {"ready": False, "waits_for": {"start": "Kafka"}})
        health.there("start")
        ready = await http.get("/ready")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "waits_for": {}})


async def test_metrics_are_those_of_the_process_and_its_own() -> None:
    health = Health(new_registry())
    Counter("turnlog_things", "Things", ["kind"], registry=health.registry).labels("odd").inc()
    async with serve_health(health, "127.0.0.1", 0) as port, client(port) as http:
        text = (await http.get("/metrics")).text
    assert 'turnlog_things_total{kind="odd"} 1.0' in text
    assert "process_resident_memory_bytes" in text


async def test_other_paths_and_methods_are_refused() -> None:
    async with serve_health(Health(new_registry()), "127.0.0.1", 0) as port, client(port) as http:
        assert (await http.get("/")).status_code == 404
        assert (await http.post("/live")).status_code == 405


async def test_somebody_who_hangs_up_or_talks_nonsense_harms_nobody() -> None:
    async with serve_health(Health(new_registry()), "127.0.0.1", 0) as port, client(port) as http:
        for words in (b"", b"\xff\xfe\r\n\r\n", b"x" * 100_000):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(words)
            writer.close()
        assert (await http.get("/live")).status_code == 200


def client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)
