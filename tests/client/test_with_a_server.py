"""The command line against a whole installation: publish, search, ask, stop, take back."""

import asyncio
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.settings import Settings
from tests.client.cutting import Rule, cutting
from tests.client.running import Running, running
from tests.client.terminal import Terminal, at_a_terminal
from tests.code import ROOT
from turnlog import AsyncTurnlog, Problem, Turnlog
from turnlog.main import app
from turnlog.model import Delta, Ended, Turn
from turnlog.stream import Answer

pytestmark = pytest.mark.timeout(300)  # five processes start first, on a machine that may be busy
WORDS = "words: count={count} delay_ms=5"
HANDBOOK = "# Night shift\n\nThe pump in hall 3 stops at two o'clock for eleven minutes. Grace is on call.\n"


@pytest.fixture(scope="module")
def server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(settings, tmp_path_factory.mktemp("running")) as found:
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[Turnlog]:
    with Turnlog.open(server.url, server.key) as opened:
        yield opened


def start(server: Running, *arguments: str, stdin: str | None = None) -> subprocess.Popen[str]:
    """The command as people start it."""
    given = os.environ | {"TURNLOG_URL": server.url, "TURNLOG_KEY": server.key, "PYTHONPATH": str(ROOT / "client")}
    command = [sys.executable, "-m", "turnlog.main", *arguments]
    return subprocess.Popen(
        command,
        env=given,
        stdin=None if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kept(client: Turnlog, conversation: str, count: int) -> tuple[Turn, ...]:
    """A conversation's turns, once so many have ended: the views have what another client asked a moment later."""
    deadline = time.monotonic() + 60
    while sum(turn.answer is not None for turn in client.conversation(conversation).turns) < count:
        assert time.monotonic() < deadline, f"not {count} turns have ended in {conversation}"
        time.sleep(0.05)
    return tuple(client.conversation(conversation).turns)


def chatting(server: Running, *arguments: str) -> AbstractContextManager[Terminal]:
    return at_a_terminal("-m", "turnlog.main", "chat", *arguments, TURNLOG_URL=server.url, TURNLOG_KEY=server.key)


def run(server: Running, *arguments: str) -> tuple[int, str, str]:
    process = start(server, *arguments)
    said, noted = process.communicate(timeout=120)
    return process.returncode, said, noted


def said_json(server: Running, *arguments: str) -> Any:
    """What a command tells programs; in this process, because starting one takes longer than the command."""
    given = {"TURNLOG_URL": server.url, "TURNLOG_KEY": server.key}
    done = CliRunner().invoke(app, [*arguments, "--json"], env=given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_status_is_ready_and_every_model_answers(server: Running) -> None:
    code, said, noted = run(server, "status")
    assert (code, noted) == (0, "")
    assert f"{server.url} is ready" in said
    assert "model words: answers" in said


def test_an_answer_is_streamed_and_equals_its_record(client: Turnlog) -> None:
    turn = client.ask(WORDS.format(count=128), model="words")
    answer = Answer()
    deltas = 0
    for item in client.events(turn.turn_id):
        answer.take(item)
        deltas += isinstance(item, Delta)
    assert answer.ended is not None
    assert answer.ended.status == "completed"
    assert deltas > 3
    assert client.turn(turn.turn_id).answer == answer.text


def breaks(after: Iterator[int]) -> Rule:
    """Every connection of a stream breaks after so many bytes: in a head, within an event, in the middle of text."""
    return lambda line: next(after) if line.endswith("/events HTTP/1.1") else None


def test_a_stream_over_a_network_that_cuts_it_has_every_word_once(server: Running, client: Turnlog) -> None:
    turn, after = client.ask("words: count=400 delay_ms=2", model="words"), itertools.count(150, 211)
    with cutting(server.url, breaks(after)) as url, Turnlog.open(url, server.key) as far:
        answer = far.answer(turn.turn_id)
    assert answer.text == client.turn(turn.turn_id).answer
    assert len(answer.text.split()) == 400
    assert next(after) > 150 + 4 * 211


async def test_the_same_asynchronously_with_three_turns_side_by_side(server: Running) -> None:
    with cutting(server.url, breaks(itertools.count(150, 211))) as url:
        async with AsyncTurnlog.open(url, server.key) as far:
            asked = [far.ask("words: count=200 delay_ms=2", model="words") for _ in range(3)]
            turns = await asyncio.gather(*asked)
            answers = await asyncio.gather(*(far.answer(turn.turn_id) for turn in turns))
            records = await asyncio.gather(*(far.turn(turn.turn_id) for turn in turns))
    assert [answer.text for answer in answers] == [record.answer for record in records]
    assert [len(answer.text.split()) for answer in answers] == [200, 200, 200]


def test_a_question_whose_answer_was_lost_on_the_way_is_one_turn(server: Running, client: Turnlog) -> None:
    lost = iter([0, 40])

    def losing(line: str) -> int | None:
        return next(lost, None) if line.startswith("POST") and "/turns" in line else None

    conversation = client.start_conversation()
    with cutting(server.url, losing) as url, Turnlog.open(url, server.key) as far:
        turn = far.ask(WORDS.format(count=3), model="words", conversation_id=conversation)
    assert next(lost, None) is None
    assert [found.turn_id for found in kept(client, conversation, 1)] == [turn.turn_id]


def test_a_program_that_was_killed_asks_again_under_its_key_and_has_the_same_turn(client: Turnlog) -> None:
    asked = [client.ask(WORDS.format(count=3), model="words", idempotency_key="order-7") for _ in range(2)]
    assert asked[0] == asked[1]


def test_a_conversation_goes_on(client: Turnlog) -> None:
    first = client.ask(WORDS.format(count=3), model="words")
    second = client.ask(WORDS.format(count=3), model="words", conversation_id=first.conversation_id)
    assert isinstance(list(client.events(second.turn_id))[-1], Ended)
    assert client.turn(second.turn_id).parent_turn_id == first.turn_id


def test_ctrl_c_stops_the_model_and_keeps_what_there_is(server: Running, client: Turnlog) -> None:
    conversation = client.start_conversation()
    with start(server, "ask", "--model", "words", "-c", conversation, "words: count=2000 delay_ms=20") as process:
        assert process.stdout
        assert process.stderr
        shown = process.stdout.read(30)
        process.send_signal(signal.SIGINT)
        shown += process.stdout.read()
        assert "[stopped]" in process.stderr.read()
    assert process.returncode == 130
    (turn,) = kept(client, conversation, 1)
    assert turn.answer is not None
    assert (turn.status, turn.answer + "\n") == ("stopped", shown)
    assert len(turn.answer.split()) < 2000


def test_ctrl_c_in_a_chat_stops_that_turn_and_the_chat_goes_on(server: Running, client: Turnlog) -> None:
    with chatting(server, "--model", "words") as terminal:
        terminal.until("> ")
        terminal.type("words: count=2000 delay_ms=20\n")
        terminal.until("w1 ")
        terminal.interrupt()
        terminal.until("[stopped]", "> ")
        terminal.type("words: count=3\n")
        terminal.until("> ")
        terminal.type("/sources\n")
        terminal.until("no passages", "> ")
        shown = terminal.leave()
    assert terminal.code == 0
    first, second = kept(client, re.findall(r"turnlog chat -c (\S+)", shown)[-1], 2)
    assert (first.status, second.status) == ("stopped", "completed")
    assert 0 < len((first.answer or "").split()) < 2000
    assert second.parent_turn_id == first.turn_id


def test_a_chat_takes_up_a_turn_that_still_runs_over_a_network_that_cuts_it(server: Running, client: Turnlog) -> None:
    turn = client.ask("words: count=300 delay_ms=5", model="words")
    with cutting(server.url, breaks(itertools.count(150, 911))) as url:
        far = Running(url, server.key)
        with chatting(far, "--model", "words", "-c", turn.conversation_id) as terminal:
            terminal.until("words: count=300", "Ask.", "> ")
            terminal.type("\x04")
            shown = terminal.ended()
    said = client.turn(turn.turn_id).answer or ""
    assert len(said.split()) == 300
    assert said.split()[-100:] == shown[: shown.index("Ask.")].split()[-100:]


def test_a_chat_without_a_terminal_answers_each_line_with_a_line(server: Running) -> None:
    asked = "words: count=3\n\nwords: count=4\n"
    process = start(server, "chat", "--json", "--model", "words", stdin=asked)
    said, noted = process.communicate(asked, timeout=120)
    answers = [json.loads(line) for line in said.splitlines()]
    assert (process.returncode, noted) == (0, "")
    assert [len(answer["text"].split()) for answer in answers] == [3, 4]
    assert answers[0]["conversation_id"] == answers[1]["conversation_id"]


def test_a_published_document_is_found_cited_and_taken_back(server: Running, client: Turnlog, tmp_path: Path) -> None:
    page = tmp_path / "night-shift.md"
    page.write_text(HANDBOOK)
    code, said, noted = run(server, "publish", "--to", "handbook", "--create", str(page))
    assert (code, noted) == (0, "")
    assert said.startswith("handbook/night-shift.md  indexed")

    found = client.search("when does the pump stop", collections=["handbook"])
    assert [passage.document_id for passage in found] == ["night-shift.md"]
    assert "eleven minutes" in (found[0].text or "")

    code, said, _ = run(server, "ask", "--in", "handbook", "When does the pump in hall 3 stop?")
    assert code == 0
    assert "eleven minutes" in said
    assert "[1] Night shift (handbook/night-shift.md)" in said

    assert [document.document_id for document in client.documents("handbook")] == ["night-shift.md"]
    client.delete("handbook", "night-shift.md")
    assert client.search("pump", collections=["handbook"]) == []


def test_a_collection_is_shared_and_deleted(server: Running, client: Turnlog) -> None:
    made = said_json(server, "collections", "create", "shared", "--name", "For all", "--reader", "public")
    assert (made["name"], made["readers"]) == ("For all", ["public"])
    assert said_json(server, "collections", "create", "shared")["readers"] == ["public"]
    assert said_json(server, "collections", "readers", "shared", "--remove", "public")["readers"] == []
    assert said_json(server, "collections", "readers", "shared", "--add", "public")["readers"] == ["public"]
    assert "shared" in [one["collection_id"] for one in said_json(server, "collections", "list")]
    with pytest.raises(Problem, match="shared"):
        client.create_collection("shared", readers=["public", f"user:{client.me().user_id}"])
    said_json(server, "collections", "delete", "shared", "--yes")
    assert "shared" not in [one.collection_id for one in client.collections()]


def test_a_key_is_told_once_works_as_far_as_its_scopes_and_no_more_once_revoked(
    server: Running, client: Turnlog
) -> None:
    made = said_json(server, "keys", "create", "laptop", "--scope", "search", "--days", "2")
    listed = {one["key_id"]: one for one in said_json(server, "keys", "list")}
    assert (listed[made["key_id"]]["name"], listed[made["key_id"]]["revoked_at"]) == ("laptop", None)
    assert made["key"] not in json.dumps(listed)
    with Turnlog.open(server.url, made["key"]) as laptop:
        assert laptop.me().scopes == ("search",)
        with pytest.raises(Problem) as problem:
            laptop.ask("may I?")
        assert problem.value.exit_code == 4
        said_json(server, "keys", "revoke", made["key_id"])
        until_refused(laptop)
    (revoked,) = [key for key in list(client.keys()) if key.key_id == made["key_id"]]
    assert revoked.revoked_at is not None


def until_refused(client: Turnlog) -> None:
    deadline = time.monotonic() + 60
    while not refused(client):
        assert time.monotonic() < deadline, "a revoked key still works"
        time.sleep(0.05)


def refused(client: Turnlog) -> bool:
    try:
        client.me()
    except Problem as problem:
        return problem.status == 401
    return False


def test_a_file_is_uploaded_first_and_published_by_its_hash(server: Running, tmp_path: Path) -> None:
    page = tmp_path / "tides.md"
    page.write_text("# Tides\n\nHigh water is at noon.\n")
    (stored,) = said_json(server, "upload", str(page))
    assert stored["sha256"] == hashlib.sha256(page.read_bytes()).hexdigest()
    (found,) = said_json(
        server, "publish", "--to", "tides", "--create", "--id", "tides.md", f"sha256:{stored['sha256']}"
    )
    assert (found["state"], found["passages"]) == ("indexed", 1)
    assert said_json(server, "documents", "delete", "tides", "tides.md")["state"] == "withdrawn"


async def test_conversations_are_listed_newest_first_and_deleted(server: Running) -> None:
    async with AsyncTurnlog.open(server.url, server.key) as far:
        titles = [f"conversation {number}" for number in range(3)]
        made = [await far.start_conversation(title) for title in titles]
        listed = [one async for one in far.conversations()]
        assert [one.title for one in listed[:3]] == titles[::-1]
        assert listed[0].started_at is not None
        await far.delete_conversation(made[0])
        assert made[0] not in [one.conversation_id async for one in far.conversations()]


def test_another_keys_turn_does_not_exist(server: Running, client: Turnlog) -> None:
    with Turnlog.open(server.url, "tl_nonsense") as stranger, pytest.raises(Problem) as problem:
        stranger.models()
    assert (problem.value.status, problem.value.exit_code) == (401, 4)
    with pytest.raises(Problem) as missing:
        client.turn("00000000-0000-7000-8000-000000000000")
    assert missing.value.status == 404
