"""The two commands' promise: from an empty folder to a cited answer, and a second start that finds everything."""

import os
import re
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.ports import Ports
from infra.local.processes import birth_of
from ops.installation import ROOT
from tests.ops.test_up import pids_in, started

START_SECONDS, STOP_SECONDS = 240, 30


def start_once(folder: Path, ports: Ports) -> str:
    run = started(folder, ports, "--once")
    said, _ = run.communicate(timeout=START_SECONDS)
    assert run.returncode == 0, said[-3000:]
    return said


class Said:
    """What a run says, while it runs."""

    def __init__(self, run: subprocess.Popen[str]) -> None:
        self.text, self._heard = "", 0
        self._reader = threading.Thread(target=self._read, args=(run,), daemon=True)
        self._reader.start()

    def _read(self, run: subprocess.Popen[str]) -> None:
        assert run.stdout is not None
        with run.stdout as lines:
            for line in lines:
                self.text += line

    def all(self) -> str:
        """Everything, once the run has ended."""
        self._reader.join(START_SECONDS)
        return self.text

    def until(self, words: str) -> None:
        """Waits for words after those waited for before."""
        end = time.monotonic() + START_SECONDS
        while (found := self.text.find(words, self._heard)) < 0:
            assert time.monotonic() < end, f"never said {words!r}:\n{self.text}"
            assert self._reader.is_alive(), f"ended without {words!r}:\n{self.text}"
            time.sleep(0.05)
        self._heard = found + len(words)


@contextmanager
def stopped_at_the_end(run: subprocess.Popen[str]) -> Iterator[None]:
    """Also when the test fails: nothing of it may go on running."""
    try:
        yield
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGINT)
            run.wait(timeout=STOP_SECONDS)


def pid_of(folder: Path, name: str) -> int:
    (file,) = (file for file in folder.glob("*/*/pid") if file.parent.name == name)
    return int(file.read_text().split()[0])


@pytest.mark.timeout(3 * START_SECONDS)
def test_a_first_start_answers_and_a_second_finds_everything_keeps_it_up_and_stops_in_order(
    folder: Path,
) -> None:
    ports = Ports.free()
    first = start_once(folder, ports)
    assert "documents to the topic documents-local: searchable after" in first
    answer = first.partition("$ turnlog ask")[2]
    assert re.search(r"\[1\]", answer), answer
    assert "when-something-crashes.md" in answer or "When something crashes" in answer
    assert f"http://127.0.0.1:{ports.api}" in first
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600

    secrets = [file.read_text().strip() for file in [folder / "key", *(folder / "secrets").iterdir()]]
    logs = [log.read_text(errors="replace") for log in folder.glob("*/*/log")]
    assert [secret for secret in secrets if any(secret in text for text in [first, *logs])] == []

    second = started(folder, ports)
    with stopped_at_the_end(second):
        said = Said(second)
        said.until("Ctrl-C stops everything")
        assert "$ turnlog ask" not in said.text
        assert "provisioned: 0 changes" in said.text
        for name in ("kafka", "chat"):
            os.kill(pid_of(folder, name), signal.SIGKILL)
            said.until(f"{name}: ended with -9, starting it again")
            said.until(f"{name}: ready after")

        commands = re.findall(r"^  (TURNLOG_.+)$", said.text, re.MULTILINE)
        assert len(commands) == 3
        for command in commands:
            ran = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
            assert ran.stdout.strip() != "", command

        pids = pids_in(folder)
        assert len(pids) >= 10
        second.send_signal(signal.SIGINT)
        assert second.wait(timeout=STOP_SECONDS) == 0, said.all()
        assert "all stopped" in said.all()
        assert [pid for pid in pids if birth_of(pid) is not None] == []
        assert pids_in(folder) == []
