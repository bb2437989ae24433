"""The supervisor: what dies comes back, what will not start is named, and nothing is left behind."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.local.launch import end_leftover, prepare, spawn, until_ready
from infra.local.processes import birth_of, tree_of
from infra.local.server import WouldNotStart
from infra.local.supervisor import Job, Supervisor
from tests.infra.local.tiny import job, tiny


@asynccontextmanager
async def kept(*jobs: Job) -> AsyncIterator[tuple[Supervisor, list[str]]]:
    said: list[str] = []
    supervisor = Supervisor(list(jobs), said.append)
    keeping = asyncio.create_task(supervisor.keep())
    try:
        async with asyncio.timeout(60):
            await supervisor.until_ready()
        yield supervisor, said
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await supervisor.stop()


async def until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


def pid_of(supervisor: Supervisor, name: str) -> int:
    running = supervisor.jobs[name].running
    assert running is not None
    return running.started.pid


async def test_a_killed_process_is_started_again_and_that_is_said(tmp_path: Path) -> None:
    async with kept(job(tiny(tmp_path / "small"))) as (supervisor, said):
        first = pid_of(supervisor, "small")
        os.kill(first, signal.SIGKILL)
        await until(lambda: pid_of(supervisor, "small") != first and supervisor.jobs["small"].ready.is_set())
        assert any("small: ended with -9, starting it again" in line for line in said)


async def test_nothing_is_left_after_a_stop_not_even_a_helper_or_the_deaf(tmp_path: Path) -> None:
    async with kept(job(tiny(tmp_path / "helped", "helped")), job(tiny(tmp_path / "deaf", "deaf"))) as (
        supervisor,
        said,
    ):
        pids = [*tree_of(pid_of(supervisor, "helped")), *tree_of(pid_of(supervisor, "deaf"))]
        assert len(pids) == 3
    await until(lambda: all(birth_of(pid) is None for pid in pids))
    assert any("deaf: killed" in line for line in said)


async def test_whoever_uses_a_server_is_stopped_before_it(tmp_path: Path) -> None:
    user = job(tiny(tmp_path / "user", "deaf"), uses=("store",))
    async with kept(job(tiny(tmp_path / "store")), user) as (_, said):
        pass
    ends = [line.split(":")[0] for line in said if "stopped" in line or "killed" in line]
    assert ends == ["user", "store"]


async def test_a_process_that_will_not_start_is_named_with_its_last_words_and_its_log(tmp_path: Path) -> None:
    supervisor = Supervisor([job(tiny(tmp_path / "small", "refuses"))], lambda _: None)
    with pytest.raises(WouldNotStart) as failure:
        await supervisor.keep()
    text = str(failure.value)
    assert text.startswith("small ended with exit code 1")
    assert "cannot read the colour of the sky" in text
    assert str(tmp_path / "small/log") in text


async def test_a_process_that_stopped_for_safety_is_not_started_again(tmp_path: Path) -> None:
    async with kept(job(tiny(tmp_path / "careful", "safety"))) as (supervisor, said):
        os.kill(pid_of(supervisor, "careful"), signal.SIGUSR1)
        await until(lambda: any("for safety" in line for line in said))
        assert not supervisor.jobs["careful"].ready.is_set()
        assert not any("starting it again" in line for line in said)


async def test_a_process_that_stops_for_safety_before_it_is_ready_again_is_not_started_a_third_time(
    tmp_path: Path,
) -> None:
    async with kept(job(tiny(tmp_path / "careful", "doubts"))) as (supervisor, said):
        os.kill(pid_of(supervisor, "careful"), signal.SIGKILL)
        await until(lambda: any("for safety" in line for line in said))
        assert not supervisor.jobs["careful"].wanted.is_set()
        assert sum("starting it again" in line for line in said) == 1


async def test_a_held_process_stays_away_until_it_is_released(tmp_path: Path) -> None:
    async with kept(job(tiny(tmp_path / "small"))) as (supervisor, said):
        await supervisor.hold("small")
        assert birth_of(pid_of(supervisor, "small")) is None
        await supervisor.release("small")
        assert birth_of(pid_of(supervisor, "small")) is not None
        assert not any("starting it again" in line for line in said)


async def test_what_a_killed_run_left_is_ended_by_the_next(tmp_path: Path) -> None:
    server = tiny(tmp_path / "small", "helped")
    await prepare(server)
    left = await spawn(server)
    await until_ready(left)
    pids = tree_of(left.started.pid)
    said: list[str] = []
    await end_leftover(server.folder, said.append)
    await until(lambda: all(birth_of(pid) is None for pid in pids))
    assert said == [f"small: ending the one that an earlier run left, pid {left.started.pid}"]
    await left.process.wait()


async def test_a_stranger_that_has_the_pid_of_an_earlier_run_is_left_alone(tmp_path: Path) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "pid").write_text(f"{stranger.pid} 12345\n")
    await end_leftover(tmp_path, lambda _: None)
    assert birth_of(stranger.pid) is not None
    stranger.kill()
    await stranger.wait()
