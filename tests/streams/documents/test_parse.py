"""Parsing in children: whatever a document does to its parser, the next document is parsed."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from infra.documents import Unfit
from infra.local.processes import birth_of
from infra.settings import Limits, Settings
from streams.documents.parse import Parser
from streams.documents.parsed_cache import prune
from tests.code import ROOT

WORDS = b"<h1>Pump</h1><p>The pump in hall 3."
SLOW = b"<p>" + b"<b>x</b>" * 1_500_000
DATA = Path(__file__).parents[2] / "data"


@asynccontextmanager
async def parser(folder: Path, **limits: Any) -> AsyncIterator[Parser]:
    async with Parser.open(Settings(data=folder, limits=Limits(**limits))) as opened:
        yield opened


async def read(opened: Parser, content: bytes, kind: str = "text/html") -> str:
    return (await opened.parse(content, kind, hashlib.sha256(content).hexdigest())).text


def children() -> set[int]:
    """The parsers among the children of this process."""
    found = set()
    for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        with suppress(OSError):  # it has ended since
            if b"parser_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(int(pid))
    return found


async def test_a_document_comes_back_with_its_marks_and_its_child_is_kept(tmp_path: Path) -> None:
    async with parser(tmp_path) as opened:
        found = await opened.parse(WORDS, "text/html", "0" * 64)
        assert (found.title, found.headings[0].text) == ("Pump", "Pump")
        first = children()
        assert len(first) == 1
        pages = await opened.parse((DATA / "bookmarks-2-pages.pdf").read_bytes(), "application/pdf", "1" * 64)
        assert [page.number for page in pages.pages] == [1, 2]
        assert children() == first
    assert children() == set()


async def test_what_cannot_be_parsed_is_told_and_costs_no_child(tmp_path: Path) -> None:
    async with parser(tmp_path) as opened:
        with pytest.raises(Unfit) as caught:
            await read(opened, (DATA / "password-openpassword.pdf").read_bytes(), "application/pdf")
        assert (caught.value.stage, caught.value.code) == ("parse", "encrypted")
        assert len(children()) == 1


async def test_a_document_that_takes_too_long_is_given_up_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async with parser(tmp_path, parse_seconds=0.25) as opened:
        with pytest.raises(Unfit) as caught:
            await read(opened, SLOW)
        assert caught.value.code == "too-slow"
        assert children() == set()
    async with parser(tmp_path) as opened:
        assert "pump" in await read(opened, WORDS)


async def test_a_document_that_needs_too_much_memory_is_given_up(tmp_path: Path) -> None:
    async with parser(tmp_path, parse_memory_bytes=220 * 1024 * 1024) as opened:
        with pytest.raises(Unfit) as caught:
            await read(opened, SLOW)
        assert caught.value.code in ("too-large", "broken")
        with pytest.raises(Unfit) as caught:
            await read(opened, b"a" * (60 * 1024 * 1024), "text/plain")
        assert caught.value.code == "too-large"
        assert "pump" in await read(opened, WORDS)


async def test_a_text_of_too_many_characters_is_given_up(tmp_path: Path) -> None:
    async with parser(tmp_path, document_characters=100) as opened:
        with pytest.raises(Unfit) as caught:
            await read(opened, b"a" * 101, "text/plain")
        assert caught.value.code == "too-large"


async def test_a_child_that_somebody_killed_is_nothing_against_the_next_document(tmp_path: Path) -> None:
    async with parser(tmp_path) as opened:
        await read(opened, WORDS)
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        assert "pump" in await read(opened, WORDS)


WORKER = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.streams.documents.test_parse import SLOW, children, parser, read

async def main():
    async with parser(Path(sys.argv[1])) as opened:
        parsing = asyncio.create_task(read(opened, SLOW))
        while not children():
            await asyncio.sleep(0.01)
        await asyncio.sleep(float(sys.argv[2]))
        print(*children(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_worker_that_was_killed_leaves_no_parser(tmp_path: Path, seconds: float) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path), str(seconds)]
    worker = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert worker.returncode == -signal.SIGKILL, worker.stderr
    end = time.monotonic() + 5
    while birth_of(int(worker.stdout)) is not None:
        assert time.monotonic() < end, "the parser lives on"
        time.sleep(0.01)


async def test_two_documents_are_parsed_at_once_and_no_more(tmp_path: Path) -> None:
    async with parser(tmp_path) as opened:
        await asyncio.gather(*(read(opened, WORDS + b"%d" % n) for n in range(8)))
        assert len(children()) <= 2


async def test_what_took_long_is_kept_and_read_again_without_a_child(tmp_path: Path) -> None:
    slow = SLOW[:1_000_000]
    async with parser(tmp_path) as opened:
        text = await read(opened, slow)
        kept = list(tmp_path.rglob("*.json"))
        assert [file.name for file in kept] == [f"{hashlib.sha256(slow).hexdigest()}-text-html.json"]
    async with parser(tmp_path) as opened:
        assert await read(opened, slow) == text
        assert children() == set()


def test_of_what_is_kept_the_old_goes_and_the_oldest_when_there_is_too_much(tmp_path: Path) -> None:
    for age in range(5):
        file = tmp_path / f"{age}.json"
        file.write_bytes(b"a" * 100)
        os.utime(file, (1000 - age, 1000 - age))
    prune(tmp_path, 1000, since=997)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.json", "1.json", "2.json", "3.json"]
    prune(tmp_path, 250, since=0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.json", "1.json"]


async def test_a_child_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNLOG_POSTGRES_PASSWORD_DOCUMENTS", "secret")
    async with parser(tmp_path) as opened:
        await read(opened, WORDS)
        (pid,) = children()
        assert b"TURNLOG" not in Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_cancelled_parse_leaves_no_child_at_work(tmp_path: Path) -> None:
    async with parser(tmp_path) as opened:
        task = asyncio.create_task(read(opened, SLOW))
        began = time.monotonic()
        while not children():
            assert time.monotonic() - began < 10
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == set()
