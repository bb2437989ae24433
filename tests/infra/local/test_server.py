"""What a server has said: all of this start for those who wait for a word, its end for people."""

import errno
import os
from pathlib import Path

import pytest

from infra.local.server import TAIL_BYTES, Started, cure, last_lines


def test_of_a_long_log_only_the_end_is_read_for_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("the start before\n")
    started = Started(1, log, log.stat().st_size)
    assert (started.said(), started.said_last()) == ("", "")
    with log.open("a") as file:
        file.write("ready\n" + "ä line\n" * TAIL_BYTES + "the cause\n")
    assert started.said().startswith("ready\n")
    assert len(started.said_last()) <= TAIL_BYTES
    assert last_lines(started.said_last(), 2) == "    ä line\n    the cause"


def test_a_log_that_is_gone_says_nothing(tmp_path: Path) -> None:
    assert Started(1, tmp_path / "log", 7).said_last() == ""


@pytest.mark.parametrize(("number", "todo"), [(errno.ENOSPC, "make room"), (errno.EROFS, "choose another folder")])
def test_a_disk_that_takes_nothing_is_told_with_what_to_do(number: int, todo: str) -> None:
    assert todo in cure(str(OSError(number, os.strerror(number))))
