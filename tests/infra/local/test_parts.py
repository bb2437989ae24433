"""The cache: a part is whole or absent, whatever interrupted the run that made it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.certificates import with_certificates
from infra.local.parts import Making, Part, ensure, is_complete, link_tree
from infra.local.pins import download, pinned
from infra.local.progress import Progress


def small(name: str = "small") -> Part:
    def make(making: Making) -> None:
        (making.into / "bin").mkdir()
        (making.into / "bin/program").write_text("whole\n")

    return Part(name, "1", make, 0, 0)


def made(part: Part, cache: Path, said: list[str]) -> Path:
    return ensure(part, cache, Progress(0), said.append)


def test_a_part_is_made_once(tmp_path: Path) -> None:
    said: list[str] = []
    assert made(small(), tmp_path, said) == made(small(), tmp_path, said)
    assert len(said) == 1


def test_a_file_cut_off_in_the_cache_is_noticed_and_made_again(tmp_path: Path) -> None:
    said: list[str] = []
    program = made(small(), tmp_path, said) / "bin/program"
    program.write_text("wh")
    assert not is_complete(program.parents[1])
    assert (made(small(), tmp_path, said) / "bin/program").read_text() == "whole\n"
    assert said[1] == "small: damaged in the cache, making it again"


def test_compiled_files_that_python_adds_are_no_damage(tmp_path: Path) -> None:
    folder = made(small(), tmp_path, [])
    (folder / "bin/__pycache__").mkdir()
    (folder / "bin/__pycache__/program.pyc").write_bytes(b"x")
    assert is_complete(folder)


HALF = """
import sys, time
from pathlib import Path
from infra.local.parts import Part, ensure
from infra.local.progress import Progress
def make(making):
    (making.into / "half").write_text("half")
    print("begun", flush=True)
    time.sleep(60)
ensure(Part("small", "1", make, 0, 0), Path(sys.argv[1]), Progress(0), print)
"""


def test_a_run_killed_in_the_middle_is_repaired_by_the_next(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HALF, str(tmp_path)], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "begun\n"
        killed.send_signal(signal.SIGKILL)
    folder = made(small(), tmp_path, [])
    assert sorted(path.name for path in folder.rglob("*")) == [".complete", "bin", "program"]
    assert not list(tmp_path.glob(".new-*"))


def test_a_download_cut_off_by_a_kill_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in with_certificates(os.environ).items():
        monkeypatch.setenv(name, value)
    pin = min(pinned("kafka"), key=lambda pin: pin.size)
    whole = download(pin, tmp_path, Progress(pin.size), lambda _: None)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    said: list[str] = []
    assert download(pin, tmp_path, Progress(pin.size), said.append).read_bytes() == content
    assert "wrong SHA-256" in said[0]


def test_a_linked_tree_can_be_read_by_everybody(tmp_path: Path) -> None:
    source = tmp_path / "private"
    (source / "bin").mkdir(parents=True)
    (source / "bin/program").write_text("x")
    (source / "bin/program").chmod(0o700)
    source.chmod(0o700)
    link_tree(source, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "copy/bin/program").stat().st_mode & 0o777 == 0o755
    assert (source / "bin/program").stat().st_mode & 0o777 == 0o700
