"""The two commands' promise: from an empty folder to a cited answer, and a second start that finds everything."""

import re
import stat
from pathlib import Path

import pytest

from infra.local.ports import Ports
from infra.local.processes import birth_of
from tests.ops.test_up import pids_in, started

START_SECONDS = 240


def start_once(folder: Path, ports: Ports) -> str:
    run = started(folder, ports, "--once")
    said, _ = run.communicate(timeout=START_SECONDS)
    assert run.returncode == 0, said[-3000:]
    return said


@pytest.mark.timeout(2 * START_SECONDS)
def test_the_first_start_prints_a_cited_answer_and_the_second_asks_nothing(folder: Path) -> None:
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

    second = start_once(folder, ports)
    assert "$ turnlog ask" not in second
    assert "provisioned: 0 changes" in second
    assert [pid for pid in pids_in(folder) if birth_of(pid) is not None] == []
