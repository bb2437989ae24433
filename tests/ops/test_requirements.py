"""What is installed is what was locked: every package by version and hash, from whichever index a machine uses."""

import re
from pathlib import Path

import pytest

from ops.installation import ROOT

FILES = sorted(ROOT.glob("requirements*.txt"))
REQUIREMENT = re.compile(r"[a-z0-9.-]+(\[[a-z,]+\])?==[^ ]+( ; [^\\]+)?( --hash=sha256:[0-9a-f]{64})+")


def requirements(text: str) -> list[str]:
    """One a line, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.strip().startswith("#")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_requirement_has_a_version_and_hashes_and_nothing_names_an_index(file: Path) -> None:
    found = requirements(file.read_text())
    assert len(found) > 1
    assert [line for line in found if not REQUIREMENT.fullmatch(line)] == []
    assert "://" not in file.read_text()


def test_there_is_no_second_lock_beside_them() -> None:
    assert [file.name for file in FILES] == [f"{source.stem}.txt" for source in sorted(ROOT.glob("requirements*.in"))]
    assert not (ROOT / "uv.lock").exists()
