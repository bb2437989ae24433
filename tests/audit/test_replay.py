"""What an auditor is told, from the topics alone, and what is noted of it."""

import json
import os
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from audit.choice import moment_of
from audit.words import Prompt, Reading
from ops.replay import Asked, account, told_prompt
from schemas.errors import Invalid
from tests.api.house import after
from tests.asking import PUMP, SAYS, STOP
from tests.audit.conftest import Audited
from tests.kafka_reading import all_of
from topics.catalogue import ANSWERS, TURNS
from turnlog.errors import TurnlogError

PLACE = re.compile(r"[a-z-]+/\d+:\d+(-\d+)?")
REASON = "complaint 4711"


async def lines(audited: Audited, *words: str) -> list[dict[str, Any]]:
    """What `turnlog replay --json` says."""
    ran = await audited.turnlog("replay", *words, "--json")
    assert ran.code == 0, ran.err
    return list(json.loads(ran.out))


async def test_a_turn_is_told_line_by_line_with_its_place_and_nobodys_words(audited: Audited) -> None:
    ran = await audited.turnlog("replay", "--turn", audited.turn_id)
    assert ran.code == 0, ran.err
    for said in (
        "anna asked the model hosted", "an attempt at the answer began", "passages found for the model",
        "the answer: completed", "as anna: public, user:anna", "held back by the wall", "works/pump version 0",
        "[1] after 6 characters", "max tokens: 99", "temperature: 0.1", "stop: 1 text", "the stream ended: completed",
    ):  # fmt: skip
        assert said in ran.text, said
    for word in ("pump is in hall", "Berta", "slate", "Pump", STOP):
        assert word not in ran.text
    told = await lines(audited, "--turn", audited.turn_id)
    assert all(PLACE.fullmatch(line["place"]) for line in told)
    assert [line["at_ms"] for line in told] == sorted(line["at_ms"] for line in told)
    assert not any("words" in line for line in told)

    places = {
        f"{topic.name}/{r.partition}:{r.offset}"
        for topic in (TURNS, ANSWERS)
        for r in await all_of(audited.settings, topic)
    }
    assert {line["place"] for line in told if line["event"] in ("TurnRequested", "AnswerRecorded")} <= places


async def test_words_are_shown_for_a_reason_that_is_on_the_log_before_them(audited: Audited) -> None:
    told = await lines(audited, "--conversation", audited.conversation_id, "--reason", REASON)
    words = {name: text for line in told for name, text in line.get("words", {}).items()}
    for event in ("TurnRequested", "AnswerRecorded"):
        assert STOP in [line["words"].get("stop 1") for line in told if line["event"] == event]
    assert words["question"] == "Which pump is in hall 3, and what is the roof made of?"
    assert words["text"] == SAYS
    kept = await lines(audited, "--accesses")
    assert REASON in kept[-1]["says"]
    assert kept[-1]["says"].startswith(f"operator:{account(os.getuid())} ")
    assert kept[-1]["details"]["turns"] == [audited.turn_id]
    assert any(REASON in line["says"] for line in await lines(audited, "--turn", audited.turn_id))


async def test_the_models_input_is_told_byte_by_byte(audited: Audited) -> None:
    nothing = await audited.turnlog("replay", "--prompt", "--turn", audited.turn_id)
    assert (nothing.code, nothing.out) == (1, b"")
    assert "--reason" in nothing.err
    ran = await audited.turnlog("replay", "--prompt", "--turn", audited.turn_id, "--reason", REASON)
    assert ran.code == 0, ran.err
    sent = [body["messages"] for body in audited.asking.model.bodies]
    assert json.loads(ran.out) in sent
    assert PUMP.encode() in ran.out
    as_json = await audited.turnlog("replay", "--prompt", "--json", "--turn", audited.turn_id, "--reason", REASON)
    told = json.loads(as_json.out)
    assert (told["turn_id"], told["format"], told["prompt"]) == (audited.turn_id, "messages", ran.text)
    assert told["place"].startswith("answers/")
    assert "with the model's whole input" in (await lines(audited, "--accesses"))[-1]["says"]


async def test_a_user_a_document_and_a_time_are_told_too(audited: Audited) -> None:
    events = [line["event"] for line in await lines(audited, "--user", "anna")]
    assert {"UserCreated", "KeyCreated", "CollectionCreated", "TurnRequested", "AnswerRecorded"} <= set(events)
    assert "TurnRequested" not in [line["event"] for line in await lines(audited, "--user", "bob")]
    document = [line["event"] for line in await lines(audited, "--document", "works/pump")]
    assert document[:2] == ["DocumentAccepted", "DocumentIndexed"]
    assert "AnswerRecorded" in document
    hidden = [line["event"] for line in await lines(audited, "--document", "secrets/pump")]
    assert "AnswerRecorded" not in hidden
    assert audited.turn_id in {line["turn_id"] for line in await lines(audited, "--from", "1h")}


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ({}, "choose one"),
        ({"turn": "a", "user": "b"}, "choose one"),
        ({"turn": "a b"}, "is no id"),
        ({"user": "A/B"}, "is no user id"),
        ({"document": "pump"}, "COLLECTION/DOCUMENT"),
        ({"since": "yesterday"}, "is no time"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "lies after"),
        ({"turn": "a", "since": "1h"}, "a time goes with"),
    ],
)
def test_what_cannot_be_meant_is_said(chosen: dict[str, str], why: str) -> None:
    nothing = dict.fromkeys(("turn", "conversation", "user", "document", "since", "until", "reason"))
    with pytest.raises(TurnlogError, match=why):
        Asked(**(nothing | {"accesses": False} | chosen)).choice()  # type: ignore[arg-type]


def test_a_prompt_that_is_no_utf_8_loses_no_byte_in_json() -> None:
    told = told_prompt(Prompt("t1", "answers/8:0", "text", b"\xff\x00"))
    assert b64decode(told["prompt_base64"]) == b"\xff\x00"
    assert "prompt" not in told


def test_who_looks_is_what_the_system_says_and_not_what_the_environment_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert account(0) == "root"
    assert account(2**31 - 7) == f"uid:{2**31 - 7}"  # nobody's: it has no name


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 1001])
def test_a_reason_that_is_none_shows_nothing(reason: str) -> None:
    with pytest.raises(Invalid, match="a reason is a line"):
        Reading("otto", "api", "turn 1", reason)


async def test_what_the_log_does_not_hold_is_said(audited: Audited) -> None:
    ran = await audited.turnlog("replay", "--turn", "00000000-0000-7000-8000-000000000000")
    assert (ran.code, ran.out) == (1, b"")
    assert "error: The log holds nothing of turn" in ran.err
    assert await lines(audited, "--from", "2999-01-01") == []
    assert (await audited.turnlog("replay", "--from", "2999-01-01")).code == 1


async def test_a_time_in_which_nobody_read_words_is_no_failure(audited: Audited) -> None:
    ran = await audited.turnlog("replay", "--accesses", "--to", "2020-01-01")
    assert (ran.code, ran.out) == (0, b"")
    assert "Nobody was shown people's words" in ran.err
    assert await lines(audited, "--accesses", "--to", "2020-01-01") == []


@pytest.mark.parametrize("more", [(), ("--reason", REASON), ("--reason", REASON, "--prompt")])
async def test_it_says_when_the_broker_is_away(audited: Audited, more: tuple[str, ...]) -> None:
    asked = ("replay", "--turn", audited.turn_id, *more)
    away = await audited.turnlog(*asked, TURNLOG_KAFKA_BOOTSTRAP="127.0.0.1:9")
    assert (away.code, away.out) == (3, b"")
    assert "kafka is unavailable" in away.err
    assert "make run" in away.err


async def test_it_says_when_the_registry_is_away_and_no_schema_is_kept(audited: Audited, tmp_path: Path) -> None:
    asked = ("replay", "--turn", audited.turn_id, "--reason", REASON)
    nowhere = {"TURNLOG_REGISTRY_URL": "http://127.0.0.1:9", "TURNLOG_DATA": str(tmp_path)}
    away = await audited.turnlog(*asked, **nowhere)
    assert away.code == 3
    assert "registry is unavailable" in away.err


async def test_auditors_are_told_over_http_and_nobody_else(audited: Audited) -> None:
    otto, turn = await audited.key("audit", "chat"), f"/v1/audit/turns/{audited.turn_id}"
    story = (await otto.get(turn)).json()
    assert story["lines"][0]["event"] == "TurnRequested"
    assert "Berta" not in json.dumps(story)
    assert STOP not in json.dumps(story)
    assert (await otto.get(f"{turn}/prompt")).status_code == 422
    prompt = await otto.get(f"{turn}/prompt", params={"reason": REASON})
    assert PUMP.encode() in prompt.content
    with_words = (await otto.get(turn, params={"reason": REASON})).json()
    assert SAYS in [line.get("words", {}).get("text") for line in with_words["lines"]]
    assert with_words["lines"][-1]["says"].startswith("otto was shown words")
    for path in (
        "conversations/" + audited.conversation_id,
        "users/anna",
        "documents/works/pump",
        "accesses",
        "turns?from=1h",
    ):
        answer = await otto.get(f"/v1/audit/{path}")
        assert answer.status_code == 200, path
        assert answer.json()["lines"]
    assert (await otto.get("/v1/audit/turns", params={"from": "soon"})).status_code == 422
    assert (await otto.get("/v1/audit/turns/nothing")).status_code == 404
    root = await audited.asking.house.user("root", "admin", "chat", "search", "publish")
    for client in (audited.asking.anna, root):
        assert (await client.get(turn)).status_code == 404
    assert (await otto.get(f"/v1/turns/{audited.turn_id}")).status_code == 404  # other routes stay as they are
    assert (await root.post("/v1/keys", json={"name": "audit", "scopes": ["audit"]})).status_code == 201
    made = await audited.asking.anna.post("/v1/keys", json={"name": "audit", "scopes": ["audit"]})
    assert made.status_code == 403, after(made)


def test_times_are_read_as_people_say_them() -> None:
    assert moment_of("1970-01-01T00:00:01") == 1000
    assert moment_of("1970-01-01T01:00:01+01:00") == 1000
    assert moment_of("2026-03-01") == 1772323200000
    assert abs(moment_of("2h") - moment_of("120m")) < 1000
