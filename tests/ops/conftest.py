"""Folders for whole installations."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Of an installation, with a name that servers trip over: a space, a comma, a letter beyond ASCII.

    Root's servers keep their data elsewhere, and that goes too.
    """
    made = tmp_path / "jörg, x"
    made.mkdir()
    yield made
    shutil.rmtree((made / "servers").resolve(), ignore_errors=True)
