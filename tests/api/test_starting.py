"""The API before, and without, its servers."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import httpx

from infra.access import record_key
from infra.kafka.publisher import Publisher
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.access import UserCreated
from schemas.codec import Codec
from schemas.event import Event
from tests.api.house import SECONDS, House, folding, serving, superuser, until_ready
from tests.conftest import installation
from tests.environment import environment
from tests.servers import Servers
from topics.catalogue import ACCESS_CHANGES

NOWHERE = {"kafka_bootstrap": "127.0.0.1:9", "postgres_port": 9, "registry_url": "http://127.0.0.1:9"}


async def test_before_its_servers_are_there_it_listens_and_says_what_it_waits_for(house: House) -> None:
    lost: Settings = house.settings.model_copy(update=NOWHERE)
    async with serving(lost) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        assert (await http.get("/live")).status_code == 200
        async with asyncio.timeout(SECONDS):
            while not (ready := await http.get("/ready")).json()["waits_for"].keys() & {"kafka", "registry"}:
                assert ready.status_code == 503
        assert ready.status_code == 503
        answer = await http.get("/v1/me", headers={"authorization": "Bearer x"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert answer.json()["server"] in ("kafka", "registry")
        assert (await http.get("/metrics")).status_code == 200


async def test_it_is_not_ready_before_the_views_have_folded_the_rights_of_the_log(
    servers: Servers, tmp_path: Path
) -> None:
    with installation(servers, tmp_path) as fresh:
        await put(fresh, UserCreated(user_id="early", name="Early", created_by="test"))
        async with serving(fresh) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
            await until(http, 503, "views")
            async with folding(fresh):
                await until_ready(url)


async def test_how_far_its_tail_of_the_running_answers_is_behind_is_among_its_metrics(house: House) -> None:
    async with httpx.AsyncClient(base_url=house.url, trust_env=False) as http:
        assert 'turnlog_lag{topic="answers-live"} 0.0' in (await http.get("/metrics")).text


async def test_a_database_that_went_back_closes_the_doors_until_its_rights_are_folded_again(house: House) -> None:
    await house.user("lea")
    async with serving(house.settings) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        await until_ready(url)
        with superuser(house.settings) as db:
            db.execute("update views.offsets set next_offset = 0 where topic = 'access-changes'")
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and query like 'listen%%'"
                " or datname = %s and application_name = 'turnlog api'",
                [house.settings.postgres_database] * 2,
            )
        await until(http, 503, "views")
        await put(house.settings, UserCreated(user_id="lea", name="Lea", created_by="test"))
        await until_ready(url)


async def test_the_process_tells_no_secret_and_stops_in_order(house: House) -> None:
    liv = await house.user("liv")
    key = liv.headers["authorization"].removeprefix("Bearer ")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "api",
        env=environment(house.settings, TURNLOG_API_PORT=str(port)),
        stderr=asyncio.subprocess.STDOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    url = f"http://127.0.0.1:{port}"
    async with asyncio.timeout(SECONDS):
        while not await listens(port):
            await asyncio.sleep(0.05)
    await until_ready(url)
    client = await house.client(key, url)
    assert (await client.get("/v1/me")).status_code == 200
    await client.post("/v1/keys", content=key.encode(), headers={"content-type": "application/json"})
    await (await house.client(key[:-1] + "!", url)).get("/v1/me")
    process.terminate()
    said, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0
    assert b"ready" in said
    assert key[-20:].encode() not in said


async def test_settings_that_are_wrong_end_the_process_with_their_reason_and_no_restart(tmp_path: Path) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(
        "default: a\nproviders: {far: {kind: openai, url: 'http://far.example', key_from: NO_SUCH_KEY}}\n"
        "models: {a: {provider: far, model: m, retrieval: off}}"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "api",
        env=environment(Settings(models_file=models, data=tmp_path), TURNLOG_API_PORT="0"),
        stderr=asyncio.subprocess.STDOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == os.EX_CONFIG
    assert b"providers.far.key_from: the environment variable NO_SUCH_KEY is not set" in said
    assert b"Traceback" not in said


async def listens(port: int) -> bool:
    """Whether somebody answers there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def until(http: httpx.AsyncClient, status: int, waits_for: str) -> None:
    """Returns when /ready says this."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await http.get("/ready")
            if answer.status_code == status and waits_for in answer.json()["waits_for"]:
                return
            await asyncio.sleep(0.02)


async def put(settings: Settings, event: Event) -> None:
    """An event on `access-changes`, whoever folds it."""
    registry = RegistryClient(settings)
    await registry.load((ACCESS_CHANGES,))
    async with Publisher.open(settings, Codec(registry)) as publisher:
        await publisher.publish(ACCESS_CHANGES, record_key(event), event)
    await registry.close()
