"""`turnlog down`: whoever holds a folder is asked to stop and waited for, what a killed run left is ended."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.local.processes import birth_of
from ops.commands import plug
from ops.down import held_by, stop
from ops.installation import ROOT
from turnlog.errors import TurnlogError
from turnlog.main import app

HOLDER = """
import signal, sys, time
from pathlib import Path
from ops.installation import alone
def end(number, frame):
    if sys.argv[2] == "stays":
        return
    time.sleep(0.3)
    Path(sys.argv[1], "ended").touch()
    sys.exit(0)
with alone(Path(sys.argv[1])):
    signal.signal(signal.SIGTERM, end)
    print("held", flush=True)
    while True:
        time.sleep(1)
"""


@contextmanager
def holder(folder: Path, how: str = "stops") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder as a run does."""
    command = [sys.executable, "-c", HOLDER, str(folder), how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def silent(_words: str) -> None:
    pass


def test_the_run_that_holds_a_folder_is_stopped_in_order_and_waited_for(folder: Path) -> None:
    if not any(command.name == "down" for command in app.registered_commands):
        plug(app)
    with holder(folder) as process:
        done = CliRunner().invoke(app, ["down", "--folder", str(folder), "--json"])
        assert (folder / "ended").exists()
        assert process.wait(60) == 0
    told = json.loads(done.stdout)
    assert (done.exit_code, told["pid"], told["leftovers"]) == (0, process.pid, [])
    assert f"stopping pid {process.pid}" in done.stderr


def test_where_nothing_runs_nobody_is_stopped_whatever_an_old_lock_says(folder: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        (folder / "lock").write_text(str(other.pid))
        done = stop(folder, silent)
        assert (done.pid, done.leftovers, other.poll()) == (None, (), None)
        other.kill()


def test_a_folder_that_is_not_there_is_said_not_to_be(folder: Path) -> None:
    with pytest.raises(TurnlogError, match="There is no folder"):
        stop(folder / "nowhere", silent)


def test_a_run_that_does_not_end_is_told_with_what_to_do(folder: Path) -> None:
    with holder(folder, "stays") as process:
        with pytest.raises(TurnlogError, match=f"pid {process.pid} was asked to stop") as problem:
            stop(folder, silent, patience_seconds=0.2)
        assert "again" in problem.value.cure
        assert held_by(folder) == process.pid


def test_what_a_killed_run_left_is_ended(folder: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as left:
        place = folder / "processes" / "chat"
        place.mkdir(parents=True)
        (place / "pid").write_text(f"{left.pid} {birth_of(left.pid)}")
        begun = time.monotonic()
        done = stop(folder, silent)
        assert left.wait(60) != 0
    assert (done.pid, done.leftovers) == (None, ("chat",))
    assert time.monotonic() - begun < 60
