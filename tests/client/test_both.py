"""One source for both: the synchronous client is the asynchronous one without waiting."""

import asyncio
import inspect
import json
import os
from pathlib import Path

import pytest

from ops.sync_client import NotTranslated, modules, synchronous
from tests.client.scripted import Reply, Request, Scripted
from turnlog import AsyncTurnlog, Turnlog, TurnlogError
from turnlog.model import Turn


def public(kind: type) -> dict[str, list[str]]:
    """Methods and the names of their arguments."""
    found = inspect.getmembers(kind, inspect.isroutine)
    return {name: list(inspect.signature(method).parameters) for name, method in found if not name.startswith("_")}


def test_what_is_committed_is_what_the_asynchronous_source_says() -> None:
    assert {path: path.read_text() for path in modules()} == modules()


def test_both_can_do_the_same() -> None:
    assert public(AsyncTurnlog) == public(Turnlog)
    assert "ask" in public(Turnlog)


@pytest.mark.parametrize(
    "line", ["from asyncio import gather", "async_name = 1", "x = [await y for y in z()] or awaited; await\\\n y"]
)
def test_a_word_that_nobody_translates_is_refused(line: str) -> None:
    with pytest.raises(NotTranslated):
        synchronous("http.py", f'"""Why."""\n{line}\n')


def test_a_retry_after_a_lost_answer_makes_one_turn_and_not_two() -> None:
    """Turns are made as the server does it: one for each idempotency key."""
    turns: dict[str, str] = {}

    def keeping(request: Request) -> Reply:
        if request.path == "/v1/conversations":
            return Reply(201, b'{"conversation_id": "c1"}')
        first = request.headers["idempotency-key"] not in turns
        turn_id = turns.setdefault(request.headers["idempotency-key"], f"t{len(turns)}")
        told = {"turn_id": turn_id, "conversation_id": "c1", "status": "queued", "events": "..."}
        return Reply(202, json.dumps(told).encode(), cut=first)

    async def asked(url: str) -> Turn:
        async with AsyncTurnlog.open(url, "k") as client:
            return await client.ask("when?")

    with Scripted.serve(keeping) as server:
        with Turnlog.open(server.url, "k") as client:
            assert client.ask("when?") == Turn(turn_id="t0", conversation_id="c1")
        assert asyncio.run(asked(server.url)) == Turn(turn_id="t1", conversation_id="c1")
        assert len([request for request in server.asked if request.path.endswith("/turns")]) == 4
    assert len(turns) == 2


def test_a_key_of_ones_own_is_that_of_the_turn_and_another_one_starts_its_conversation() -> None:
    reply = Reply(202, b'{"turn_id": "t1", "conversation_id": "c1"}')
    with Scripted.serve(lambda request: reply) as server, Turnlog.open(server.url, "k") as client:
        client.ask("when?", idempotency_key="order-7")
    keys = [request.headers["idempotency-key"] for request in server.asked]
    assert keys == ["order-7-conversation", "order-7"]


def test_a_file_is_sent_piece_by_piece_and_again_from_its_start(tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(b"x" * 5_000_000)
    replies = iter([Reply(503), Reply(201, json.dumps({"sha256": "ab" * 32, "size": 5_000_000}).encode())])
    told: list[int] = []

    async def uploaded(url: str) -> str:
        async with AsyncTurnlog.open(url, "k") as client:
            return (await client.upload(file, sent=told.append)).sha256

    with Scripted.serve(lambda request: next(replies)) as server:
        assert asyncio.run(uploaded(server.url)) == "ab" * 32
    assert [len(request.body) for request in server.asked] == [5_000_000, 5_000_000]
    assert told[-1] == 5_000_000


def test_a_file_that_shrinks_meanwhile_is_said_to_do_so(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * 200_000)
    with Scripted.serve(lambda request: Reply(201)) as server, Turnlog.open(server.url, "k") as client:
        with pytest.raises(TurnlogError, match="became shorter"):
            client.upload(file, sent=lambda _: os.truncate(file, 1))
