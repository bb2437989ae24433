"""The views worker itself: offsets, fences, dead letters, stops."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio

from infra.access import record_key
from infra.health import Health
from infra.kafka.publisher import Publisher
from infra.kafka.records import Received
from infra.metrics import new_registry
from infra.postgres.freshness import Freshness, end_offsets
from infra.postgres.migrate import superuser_dsn
from infra.postgres.moment import EARLIEST, LATEST
from infra.postgres.pool import Connection, conninfo
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.access import KeyCreated, UserCreated
from schemas.codec import Codec, Encoded
from schemas.delivery import DeadLetter
from schemas.errors import Invalid
from streams.dead_letters import EX_CONFIG, StopWorker
from streams.views.fold_access import fold_access
from streams.views.folds import Fold
from streams.views.offsets import Fenced, known_offsets, move_offsets
from streams.views.worker import open_folder
from streams.watchdog import Stalled
from tests.conftest import installation
from tests.environment import environment
from tests.kafka_reading import all_of
from tests.servers import Servers
from topics.catalogue import ACCESS_CHANGES, DEAD_LETTERS

SECONDS = 60
KEY: dict[str, Any] = {"user_id": "x", "name": "x", "secret_sha256": "", "scopes": ["chat"], "created_by": "test"}
ACCESS = (Fold(ACCESS_CHANGES, fold_access),)


@pytest.fixture
def fresh(servers: Servers, tmp_path: Path) -> Iterator[Settings]:
    """An installation for one test, because these break theirs."""
    with installation(servers, tmp_path) as settings, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        yield settings.model_copy(update={"health_port": port})


@pytest_asyncio.fixture
async def publisher(fresh: Settings) -> AsyncIterator[Publisher]:
    """Puts events on the log."""
    registry = RegistryClient(fresh)
    await registry.load((ACCESS_CHANGES,))
    async with Publisher.open(fresh, Codec(registry)) as opened:
        yield opened
    await registry.close()


@asynccontextmanager
async def folder_of(settings: Settings, folds: Sequence[Fold] = ACCESS) -> AsyncIterator["asyncio.Task[None]"]:
    """A running worker."""
    async with open_folder(settings, Health(new_registry()), folds) as folder:
        task = asyncio.create_task(folder.run())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def put_user(publisher: Publisher, name: str) -> tuple[str, int, int]:
    """A user on the log, and where."""
    event = UserCreated(user_id=name, name=name, created_by="test")
    position = await publisher.publish(ACCESS_CHANGES, record_key(event), event)
    return ACCESS_CHANGES.name, position.partition, position.offset


def look(settings: Settings, query: str, *args: Any) -> list[tuple[Any, ...]]:
    """Rows that row-level security does not hide."""
    with psycopg.connect(superuser_dsn(settings, settings.postgres_database), autocommit=True) as db:
        found = db.execute(query.encode(), args)
        return found.fetchall() if found.description else []


async def until_folded(settings: Settings) -> None:
    """Returns when the views have reached the end."""
    async with Freshness.open(settings, "views") as freshness:
        ends = await end_offsets(settings, (ACCESS_CHANGES,))
        assert await freshness.wait_for_all(ends, SECONDS)


async def test_what_cannot_be_read_becomes_a_dead_letter_and_the_next_record_is_folded(
    fresh: Settings, publisher: Publisher
) -> None:
    await publisher.publish_bytes(ACCESS_CHANGES, "user:x", Encoded(b"\0\0\0\0\1garbage", [("type", b"UserCreated")]))
    await put_user(publisher, "x")
    async with folder_of(fresh):
        await until_folded(fresh)
    assert look(fresh, "select user_id from views.users") == [("x",)]
    (record,) = await all_of(fresh, DEAD_LETTERS)
    registry = RegistryClient(fresh)
    letter = await Codec(registry).decode("dead-letters", (DeadLetter,), record.value, dict(record.headers))
    await registry.close()
    assert isinstance(letter, DeadLetter)
    assert (letter.topic, letter.value, letter.key) == ("access-changes", b"\0\0\0\0\1garbage", b"user:x")


async def test_a_nul_in_somebodys_words_stops_nothing(fresh: Settings, publisher: Publisher) -> None:
    event = UserCreated(user_id="x", name="a\0b", created_by="test")
    await publisher.publish(ACCESS_CHANGES, record_key(event), event)
    async with folder_of(fresh):
        await until_folded(fresh)
    assert look(fresh, "select name from views.users") == [("a\ufffdb",)]


async def test_a_value_that_the_database_refuses_becomes_a_dead_letter_and_all_others_are_folded(
    fresh: Settings, publisher: Publisher
) -> None:
    await put_user(publisher, "x")
    too_many = KeyCreated(**KEY, key_id="0" * 16, requests_per_minute=2**40)
    await publisher.publish(ACCESS_CHANGES, record_key(too_many), too_many)
    await put_user(publisher, "y")
    async with folder_of(fresh):
        await until_folded(fresh)
    assert look(fresh, "select user_id from views.users order by 1") == [("x",), ("y",)]
    assert look(fresh, "select * from views.keys") == []
    (record,) = await all_of(fresh, DEAD_LETTERS)
    assert b"the views cannot hold it: integer out of range" in record.value


@pytest.mark.parametrize("far", [2**53, 253_402_300_800_000, -(2**53)])
async def test_a_time_beyond_the_calendar_is_its_end(fresh: Settings, publisher: Publisher, far: int) -> None:
    event = KeyCreated(**KEY, key_id="0" * 16, expires_at=far, occurred_at=far)
    await publisher.publish(ACCESS_CHANGES, record_key(event), event)
    async with folder_of(fresh):
        await until_folded(fresh)
    ((expires_at, created_at),) = look(fresh, "select expires_at, created_at from views.keys")
    assert expires_at == created_at == (LATEST if far > 0 else EARLIEST)


async def test_dead_letters_in_a_row_stop_the_worker_with_nothing_committed_past_them(
    fresh: Settings, publisher: Publisher
) -> None:
    strict = fresh.model_copy(update={"limits": fresh.limits.model_copy(update={"dead_letters_in_a_row": 3})})
    for _ in range(3):
        await publisher.publish_bytes(ACCESS_CHANGES, "user:x", Encoded(b"garbage", []))
    await put_user(publisher, "x")
    async with folder_of(strict) as task:
        with pytest.raises(StopWorker):
            await asyncio.wait_for(asyncio.shield(task), SECONDS)
    assert look(fresh, "select max(next_offset) from views.offsets") == [(0,)]


async def test_a_fold_that_crashes_stops_the_worker_and_leaves_nothing_behind(
    fresh: Settings, publisher: Publisher
) -> None:
    await put_user(publisher, "x")

    async def broken(db: Connection, received: Sequence[Received[Any]]) -> None:
        await fold_access(db, received)
        raise ZeroDivisionError

    async with folder_of(fresh, (Fold(ACCESS_CHANGES, broken),)) as task:
        with pytest.raises(StopWorker, match=r"a fold of access-changes crashed at \d+:0 .*ZeroDivisionError"):
            await asyncio.wait_for(asyncio.shield(task), SECONDS)
    assert look(fresh, "select max(next_offset) from views.offsets") == [(0,)]
    assert look(fresh, "select * from views.users") == []


async def test_folds_that_hang_are_a_stall(fresh: Settings, publisher: Publisher) -> None:
    await put_user(publisher, "x")
    short = fresh.model_copy(update={"limits": fresh.limits.model_copy(update={"stalled_seconds": 3})})

    async def hangs(_db: Connection, _received: Sequence[Received[Any]]) -> None:
        await asyncio.sleep(3600)

    async with folder_of(short, (Fold(ACCESS_CHANGES, hangs),)) as task:
        with pytest.raises(Stalled, match="1 records wait"):
            await asyncio.wait_for(asyncio.shield(task), SECONDS)


async def test_another_topic_under_the_same_name_stops_the_worker(fresh: Settings, publisher: Publisher) -> None:
    async with folder_of(fresh):
        await put_user(publisher, "x")
        await until_folded(fresh)
    look(fresh, "update views.offsets set topic_id = 'another'")
    async with folder_of(fresh) as task:
        with pytest.raises(Invalid, match="made anew"):
            await asyncio.wait_for(asyncio.shield(task), SECONDS)


async def test_a_log_that_lost_records_stops_the_worker(fresh: Settings, publisher: Publisher) -> None:
    async with folder_of(fresh):
        _, partition, _ = await put_user(publisher, "x")
        await until_folded(fresh)
    look(fresh, "update views.offsets set next_offset = 5 where partition = %s", partition)
    async with folder_of(fresh) as task:
        with pytest.raises(Invalid, match="lost records"):
            await asyncio.wait_for(asyncio.shield(task), SECONDS)


async def test_a_second_worker_stands_by_and_takes_over(fresh: Settings, publisher: Publisher) -> None:
    async with folder_of(fresh) as first, folder_of(fresh) as second:
        await put_user(publisher, "x")
        await until_folded(fresh)
        first.cancel()
        await put_user(publisher, "y")
        await until_folded(fresh)
        assert not second.done()
    assert look(fresh, "select count(*) from views.users") == [(2,)]


async def test_a_lost_connection_is_made_again_and_nothing_is_folded_twice(
    fresh: Settings, publisher: Publisher
) -> None:
    async with folder_of(fresh):
        await put_user(publisher, "x")
        await until_folded(fresh)
        look(fresh, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'turnlog views'")
        await put_user(publisher, "y")
        await until_folded(fresh)
    assert look(fresh, "select count(*) from views.users") == [(2,)]


async def test_offsets_that_somebody_else_moved_fence_a_worker(fresh: Settings) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo(fresh, "views"), autocommit=True) as db:
        ids = {"access-changes": "id"}
        was = await known_offsets(db, (ACCESS_CHANGES,), ids)
        place = "access-changes", 3
        await move_offsets(db, ids, was, {place: 7})
        with pytest.raises(Fenced):
            await move_offsets(db, ids, was, {place: 8})
        await move_offsets(db, ids, {place: 7}, {place: 8})


async def test_the_process_says_78_when_a_person_must_look_and_0_when_told_to_stop(
    fresh: Settings, publisher: Publisher
) -> None:
    await put_user(publisher, "x")
    process = await _process(fresh)
    await until_folded(fresh)
    await _says(fresh, "/ready", '"ready": true')
    await _says(fresh, "/metrics", 'turnlog_lag{partition="0",topic="access-changes"} 0.0')
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), SECONDS) == 0
    look(fresh, "update views.offsets set topic_id = 'another'")
    process = await _process(fresh)
    assert await asyncio.wait_for(process.wait(), SECONDS) == EX_CONFIG


async def test_a_process_whose_fold_crashes_says_78_and_where(fresh: Settings, publisher: Publisher) -> None:
    _, partition, offset = await put_user(publisher, "x")
    look(fresh, "alter table views.users rename column name to another")
    process = await _process(fresh)
    assert await asyncio.wait_for(process.wait(), SECONDS) == EX_CONFIG
    assert process.stdout is not None
    said = (await process.stdout.read()).decode()
    assert f"a fold of access-changes crashed at {partition}:{offset} (partition:offset): UndefinedColumn" in said


async def test_views_that_start_before_their_tables_are_made_wait_and_say_so(
    fresh: Settings, publisher: Publisher
) -> None:
    await put_user(publisher, "x")
    look(fresh, "alter table views.offsets rename to not_yet")
    process = await _process(fresh)
    await _says(fresh, "/ready", "the tables of the views are not made yet")
    look(fresh, "alter table views.not_yet rename to offsets")
    await until_folded(fresh)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), SECONDS) == 0


async def _process(settings: Settings) -> asyncio.subprocess.Process:
    env = environment(settings, TURNLOG_HEALTH_PORT=str(settings.health_port))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streams.views", env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def _says(settings: Settings, path: str, what: str) -> None:
    async def said() -> str:
        with suppress(httpx.TransportError):  # it has only begun
            return (await http.get(f"http://127.0.0.1:{settings.health_port}{path}")).text
        return ""

    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(SECONDS):
        while what not in await said():
            await asyncio.sleep(0.05)
