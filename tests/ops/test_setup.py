"""`ops/setup.sh`, before there is any Python of ours: it says what is missing, and what to do."""

import shutil
import subprocess
from pathlib import Path

from ops.installation import ROOT

NEEDED = ("ops/setup.sh", "requirements.txt", "requirements-dev.txt", "pyproject.toml", "client/pyproject.toml")


def setup(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    """Runs it in a copy that has no environment, with a `python3` of these words."""
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    interpreter = folder / "python3"
    interpreter.write_text(f"#!/bin/sh\n{python}\n")
    interpreter.chmod(0o755)
    command = ["sh", "ops/setup.sh", "run"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(interpreter)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_python_too_old_is_named_with_its_version_and_what_to_install(tmp_path: Path) -> None:
    done = setup(tmp_path, "echo 3.9 >&2; exit 1")
    assert done.returncode == 1
    assert "Python 3.11 or 3.12 is needed" in done.stderr
    assert "(3.9)" in done.stderr
    assert "apt-get install" in done.stderr


def test_a_python_that_makes_no_environments_leaves_none_half_made(tmp_path: Path) -> None:
    done = setup(tmp_path, 'if [ "$1" = -c ]; then echo shared; else mkdir .venv; exit 1; fi')
    assert done.returncode == 1
    assert "python3-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()
