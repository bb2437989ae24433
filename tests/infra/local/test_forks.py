"""Forks of a process that has imported everything: each is a process of its own, as if `python -m` had started it."""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.forks import Forks
from infra.local.launch import Running, prepare, spawn
from infra.local.processes import birth_of
from infra.local.server import Process, Server, Started, WouldNotStart
from infra.local.supervisor import Supervisor
from tests.code import ROOT
from tests.infra.local.tiny import job

PRELOADED = "tests.infra.local.forked"  # and what the forks run
FORKS = Forks(PRELOADED)


async def at_once(_: Started) -> bool:
    return True


def forked(folder: Path, *arguments: str, module: str = PRELOADED, own: dict[str, str] | None = None) -> Server:
    return Server(
        name=folder.name,
        folder=folder,
        command=(sys.executable, "-m", module, *arguments),
        environment={"PATH": os.environ["PATH"], **(own or {})},
        is_ready=at_once,
        start=FORKS.start,
        stop_seconds=20,
    )


async def begun(server: Server) -> Running:
    await prepare(server)
    return await spawn(server)


async def said(running: Running, words: str) -> str:
    async with asyncio.timeout(60):
        while words not in running.started.said():
            await asyncio.sleep(0.02)
    return running.started.said()


async def test_it_has_a_folder_a_session_an_environment_a_log_and_a_name_of_its_own(tmp_path: Path) -> None:
    running = await begun(forked(tmp_path / "one", "tell", own={"COLOUR": "blue"}))
    assert await running.wait() == 0
    told = running.started.said()
    pid = running.process.pid
    assert f"directory {tmp_path / 'one'}\n" in told
    assert f"session {pid} group {pid}\n" in told
    assert f"environment {sorted(['COLOUR', 'PATH'])}\n" in told
    assert f"name python -m {PRELOADED}\n" in told
    assert "name __main__ arguments ['tell']\n" in told
    assert (tmp_path / "one/log").stat().st_mode & 0o777 == 0o600


CLOSED = """
import asyncio, sys
from pathlib import Path
from tests.infra.local.test_forks import FORKS, begun, forked
from turnlog.standard_streams import open_closed_ones
assert sys.stdin is sys.stdout is sys.stderr is None
open_closed_ones()
async def main():
    assert await (await begun(forked(Path(sys.argv[1]), "tell"))).wait() == 0
    print("nobody hears this", flush=True)
asyncio.run(main())
FORKS.close()
"""


def test_it_starts_and_logs_where_the_standard_streams_were_closed(tmp_path: Path) -> None:
    script = [sys.executable, "-c", CLOSED, str(tmp_path / "one")]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *script], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0
    assert "arguments ['tell']\n" in (tmp_path / "one/log").read_text()


async def test_what_was_imported_before_is_not_imported_again(tmp_path: Path) -> None:
    counts = []
    for name in ("one", "two"):
        running = await begun(forked(tmp_path / name, "importer"))
        await running.wait()
        counts.append(running.started.said())
    assert counts[0] == counts[1]  # both heard of it from the process that imported it
    assert f"imported by {os.getpid()}\n" not in counts


async def test_its_exit_code_and_what_broke_it_are_known(tmp_path: Path) -> None:
    careful = await begun(forked(tmp_path / "careful", "exit", "78"))
    broken = await begun(forked(tmp_path / "broken", "raise"))
    assert (await careful.wait(), await broken.wait()) == (78, 1)
    assert "ValueError: as it was told" in broken.started.said()


async def test_a_signal_stops_it_in_order_and_a_deaf_one_is_killed(tmp_path: Path) -> None:
    kind, deaf = await begun(forked(tmp_path / "kind", "wait")), await begun(forked(tmp_path / "deaf", "deaf"))
    await said(kind, "waits")
    await said(deaf, "waits")
    assert await kind.stop()
    assert kind.process.returncode == -signal.SIGTERM
    assert not await deaf.stop(1)
    assert [birth_of(running.process.pid) for running in (kind, deaf)] == [None, None]


async def test_a_killed_one_is_started_again(tmp_path: Path) -> None:
    lines: list[str] = []
    supervisor = Supervisor([job(forked(tmp_path / "small", "wait"))], lines.append)
    keeping = asyncio.create_task(supervisor.keep())
    try:
        async with asyncio.timeout(60):
            await supervisor.until_ready()
            first = supervisor.jobs["small"].running
            assert first is not None
            os.kill(first.process.pid, signal.SIGKILL)
            while supervisor.jobs["small"].running is first or not supervisor.jobs["small"].ready.is_set():
                await asyncio.sleep(0.02)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await supervisor.stop()
    assert any("small: ended with -9, starting it again" in line for line in lines)


async def test_one_that_is_begun_while_all_is_cancelled_is_not_left_behind(tmp_path: Path) -> None:
    begin = FORKS.start
    pids: list[int] = []

    async def noted(server: Server) -> Process:
        process = await begin(server)
        pids.append(process.pid)
        return process

    server = dataclasses.replace(forked(tmp_path / "late", "wait"), start=noted)
    await prepare(server)
    starting = asyncio.create_task(spawn(server))
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert pids == []  # it was cancelled before it had one
    async with asyncio.timeout(30):
        while f"late {PRELOADED}" in running_modules():
            await asyncio.sleep(0.05)


def running_modules() -> list[str]:
    """`folder module` of every fork that runs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().rstrip("\0").replace("\0", " ").split()
            found.append(f"{(process / 'cwd').readlink().name} {words[-1]}" if words else "")
        except OSError:
            continue
    return found


async def test_a_module_that_is_not_there_is_said_in_its_log(tmp_path: Path) -> None:
    running = await begun(forked(tmp_path / "none", module="tests.infra.local.there_is_none"))
    assert await running.wait() == 1
    assert "there_is_none" in running.started.said()


async def test_a_folder_that_it_cannot_enter_is_named(tmp_path: Path) -> None:
    server = forked(tmp_path / "small", "wait")
    await prepare(server)
    with pytest.raises(WouldNotStart, match="small"):
        await FORKS.start(dataclasses.replace(server, directory=tmp_path / "nowhere"))
