"""`ops/setup.sh`, before there is any Python of ours: it says what is missing, and what to do."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from ops.installation import ROOT

NEEDED = (
    "Makefile",
    "ops/setup.sh",
    "requirements.txt",
    "requirements-dev.txt",
    "pyproject.toml",
    "client/pyproject.toml",
)


def copy(folder: Path) -> None:
    """What it reads, in a folder that has no environment."""
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def setup(folder: Path, python: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs it in a copy, with a `python3` of these words."""
    copy(folder)
    return run(folder, str(interpreter(folder, "python3", python)), *command)


def interpreter(folder: Path, name: str, words: str) -> Path:
    """A program of these words."""
    made = folder / name
    made.write_text(f"#!/bin/sh\n{words}\n")
    made.chmod(0o755)
    return made


def run(folder: Path, python: str, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs it in a copy, to choose among these interpreters."""
    asked = command or ("sh", "ops/setup.sh", "run")
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": python, **more}
    return subprocess.run(asked, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_python_too_old_is_named_with_its_version_and_what_to_install(tmp_path: Path) -> None:
    done = setup(tmp_path, "echo 3.9 >&2; exit 1")
    assert done.returncode == 1
    assert "Python 3.11 or 3.12 is needed" in done.stderr
    assert "(3.9)" in done.stderr
    assert "apt-get install" in done.stderr


def test_the_python_that_make_is_given_is_the_one_that_is_asked(tmp_path: Path) -> None:
    done = setup(tmp_path, "echo 3.9 >&2; exit 1", "make", "run")
    assert done.returncode == 2
    assert f"{tmp_path / 'python3'} (3.9)" in done.stderr


def test_a_python_that_makes_no_environments_leaves_none_half_made(tmp_path: Path) -> None:
    done = setup(tmp_path, 'if [ "$1" = -c ]; then echo 3; else mkdir .venv; exit 1; fi')
    assert done.returncode == 1
    assert "python3-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_an_environment_that_cannot_be_made_for_another_reason_is_told_with_it(tmp_path: Path) -> None:
    full = "Error: [Errno 28] No space left on device"
    done = setup(tmp_path, f'if [ "$1" = -c ]; then echo 7; else mkdir .venv; echo "{full}"; exit 1; fi')
    assert done.returncode == 1
    assert f"could not make {tmp_path}/.venv: {full}" in done.stderr
    assert "python3-venv" not in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_packages_go_into_our_environment_whatever_the_users_shell_says(tmp_path: Path) -> None:
    copy(tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    ours = interpreter(tmp_path, ".venv/bin/python", "echo Python")
    interpreter(tmp_path, ".venv/bin/uv", 'echo "$@" >> asked')
    found = interpreter(tmp_path, "python3", "echo 7")
    (tmp_path / "elsewhere/ops").mkdir(parents=True)
    done = run(tmp_path, str(found), UV_SYSTEM_PYTHON="1", CDPATH=str(tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stderr
    _, *calls = (tmp_path / "asked").read_text().splitlines()
    assert [call.split()[:4] for call in calls] == [
        ["pip", what, "--python", str(ours)] for what in ("sync", "install")
    ]


def test_of_several_the_first_of_the_best_is_chosen(tmp_path: Path) -> None:
    copy(tmp_path)
    worths = {"plain": 6, "profiled": 7, "another": 7, "makes-none": 3}
    given = [interpreter(tmp_path, name, f"[ $1 = -c ] && echo {worth}") for name, worth in worths.items()]
    assert f"making .venv with {tmp_path / 'profiled'} (" in run(tmp_path, " ".join(map(str, given))).stderr


def environment_of(folder: Path, place: Path) -> None:
    """As it leaves one that it made at `place`."""
    copy(folder)
    read = ("requirements.txt", "pyproject.toml", "client/pyproject.toml", "ops/setup.sh")
    stamp = hashlib.sha256(b"".join((folder / name).read_bytes() for name in read)).hexdigest()
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to("/bin/true")
    (folder / ".venv/.turnlog").write_text(f"{stamp}\n{place}\n")


def test_what_is_made_already_is_left_alone(tmp_path: Path) -> None:
    environment_of(tmp_path, tmp_path)
    done = setup(tmp_path, "exit 1")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_environment_that_moved_with_its_clone_is_made_anew(tmp_path: Path) -> None:
    environment_of(tmp_path, tmp_path / "where it was")
    done = setup(tmp_path, 'if [ "$1" = -c ]; then echo 7; else exit 1; fi')
    assert f".venv is of {tmp_path}/where it was, making a new one" in done.stderr
    assert "making .venv with" in done.stderr
    assert not (tmp_path / ".venv").exists()
