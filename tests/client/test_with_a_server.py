"""The command line against a whole installation: publish, search, ask, stop, take back."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.client.cutting import Rule, cutting
from tests.client.running import Running, running
from tests.code import ROOT
from turnlog import AsyncTurnlog, Problem, Turnlog
from turnlog.model import Delta, Ended
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


def start(server: Running, *arguments: str) -> subprocess.Popen[str]:
    """The command as people start it."""
    given = os.environ | {"TURNLOG_URL": server.url, "TURNLOG_KEY": server.key, "PYTHONPATH": str(ROOT / "client")}
    command = [sys.executable, "-m", "turnlog.main", *arguments]
    return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(server: Running, *arguments: str) -> tuple[int, str, str]:
    process = start(server, *arguments)
    said, noted = process.communicate(timeout=120)
    return process.returncode, said, noted


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
    assert [found.turn_id for found in client.conversation(conversation).turns] == [turn.turn_id]


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
    (turn,) = client.conversation(conversation).turns
    assert turn.answer is not None
    assert (turn.status, turn.answer + "\n") == ("stopped", shown)
    assert len(turn.answer.split()) < 2000


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


def test_another_keys_turn_does_not_exist(server: Running, client: Turnlog) -> None:
    with Turnlog.open(server.url, "tl_nonsense") as stranger, pytest.raises(Problem) as problem:
        stranger.models()
    assert (problem.value.status, problem.value.exit_code) == (401, 4)
    with pytest.raises(Problem) as missing:
        client.turn("00000000-0000-7000-8000-000000000000")
    assert missing.value.status == 404
