"""Class archives: taken over from an earlier installation, never from before the programs were made anew."""

import os
import time
from pathlib import Path

import pytest

from infra.local.jvm import keep_archive, take_archive
from infra.local.layout import Account

HOUR = 3600


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A server's files in the cache, made an hour ago."""
    folder = tmp_path / "programs"
    folder.mkdir()
    os.utime(folder, (time.time() - HOUR,) * 2)
    return folder


def archive(path: Path, words: str, hours_ago: float) -> Path:
    """A class archive that was written then."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(words)
    os.utime(path, (time.time() - hours_ago * HOUR,) * 2)
    return path


def test_the_archive_of_an_earlier_installation_is_taken_where_there_is_none(tmp_path: Path, programs: Path) -> None:
    kept = tmp_path / "cache.jsa"
    keep_archive(kept, archive(tmp_path / "first/classes.jsa", "first", 0.5).parent)
    keep_archive(kept, archive(tmp_path / "second/classes.jsa", "second", 0.4).parent)
    for folder in ("second", "third"):
        (tmp_path / folder).mkdir(exist_ok=True)
        take_archive(kept, tmp_path / folder, Account(), programs)
    assert (tmp_path / "second/classes.jsa").read_text() == "second"
    assert (tmp_path / "third/classes.jsa").read_text() == "first"


def test_an_archive_from_before_the_programs_were_repaired_is_made_anew(tmp_path: Path, programs: Path) -> None:
    kept = archive(tmp_path / "cache.jsa", "stale", 2)
    mine = archive(tmp_path / "run/classes.jsa", "stale", 2)
    take_archive(kept, mine.parent, Account(), programs)
    assert not kept.exists()
    assert not mine.exists()
