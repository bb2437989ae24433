"""Folders for whole installations."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Of an installation; root's servers keep their data elsewhere, and that goes too."""
    yield tmp_path
    shutil.rmtree((tmp_path / "servers").resolve(), ignore_errors=True)
