"""`make run` as a process: what it refuses, and that it leaves nothing running."""

import dataclasses
import fcntl
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from infra.local.ports import Ports
from infra.local.processes import birth_of, tree_of
from ops.installation import ROOT


def started(folder: Path, ports: Ports, *more: str) -> subprocess.Popen[str]:
    chosen = [word for name, port in dataclasses.asdict(ports).items() for word in ("--port", f"{name}={port}")]
    command = [sys.executable, "-m", "ops.up", "--folder", str(folder), *chosen, *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def pids_in(folder: Path) -> list[int]:
    """Of every process that the run started, as its pid files say."""
    found = []
    for file in folder.glob("*/*/pid"):
        with suppress(FileNotFoundError):  # it has ended since
            found.append(int(file.read_text().split()[0]))
    return found


def test_a_port_in_use_stops_it_before_anything_is_started(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        run = started(folder, dataclasses.replace(Ports.free(), opensearch=port))
        said, _ = run.communicate(timeout=100)
    assert run.returncode == 1
    assert f"port {port} (opensearch) is in use by" in said
    assert pids_in(folder) == []


def test_a_folder_in_use_is_refused_with_who_holds_it(folder: Path) -> None:
    with (folder / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        guard.write("4711")
        guard.flush()
        run = started(folder, Ports.free())
        said, _ = run.communicate(timeout=100)
    assert run.returncode == 1
    assert "in use by another run: pid 4711" in said


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(folder: Path) -> None:
    (folder / "file").touch()
    run = started(folder / "file" / "x", Ports.free())
    said, _ = run.communicate(timeout=100)
    assert run.returncode == 1
    assert f"{folder}/file/x: [Errno 20] Not a directory" in said
    assert "Run again after mending" in said


def pids_once_started(folder: Path) -> list[int]:
    end = time.monotonic() + 60
    while len(found := pids_in(folder)) < 3:
        assert time.monotonic() < end, "nothing was started"
        time.sleep(0.01)
    return found


def test_whoever_read_what_it_says_is_gone_and_it_stops_all_the_same(folder: Path) -> None:
    run = started(folder, Ports.free())
    found = pids_once_started(folder)
    assert run.stdout is not None
    run.stdout.close()
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=30) == 0
    assert [pid for pid in found if birth_of(pid) is not None] == []
    assert pids_in(folder) == []


def test_stopped_while_everything_starts_it_leaves_no_process(folder: Path) -> None:
    run = started(folder, Ports.free())
    found = [*pids_once_started(folder), *tree_of(run.pid)]  # what our processes fork from has no file
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=30)
    assert run.returncode == 0, said
    assert [pid for pid in found if birth_of(pid) is not None] == []
    assert pids_in(folder) == []
