"""However often a stream is cut, its reader has every character once."""

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.client.scripted import Reply, Request, Scripted
from turnlog import AsyncTurnlog, Problem, Turnlog, TurnlogError, Unreachable
from turnlog.model import Delta, Ended, Passage, Passages, Progress, Restart, StreamItem, Waiting
from turnlog.stream import Answer

PASSAGE = {
    "number": 1, "collection_id": "handbook", "document_id": "pump.pdf", "version": 4, "passage": 0,
    "title": "Pumps", "page": 3, "start": 0, "end": 20, "heading": ["Hall 3"], "score": 0.9, "new_field": True,
}  # fmt: skip
Follow = Callable[[Callable[[Request], Reply]], tuple[list[StreamItem], Scripted]]
TEXT = ["The pump ", "stops\u2028at ", "02:00. \x85", "[1] 👋"]


def sse(name: str, data: dict[str, object], last_id: str) -> bytes:
    return f"event: {name}\r\nid: {last_id}\r\ndata: {json.dumps(data, ensure_ascii=False)}\r\n\r\n".encode()


def whole_stream() -> list[bytes]:
    events = [
        sse("queued", {}, "0.0.0"),
        b": ping\n\n" + sse("retrieving", {}, "7.1.0"),
        sse("passages", {"passages": [PASSAGE]}, "7.2.0"),
        sse("waiting", {"server": "triton"}, "7.3.0"),
        sse("from-a-newer-server", {"what": "ever"}, "7.3.0"),
    ]
    position = 0
    for number, text in enumerate(TEXT):
        position += len(text)
        events.append(sse("delta", {"text": text}, f"7.{number + 4}.{position}"))
    return [*events, sse("ended", {"status": "completed", "length": position}, f"7.9.{position}")]


def after(last_id: str) -> list[bytes]:
    """What is left of the stream for a reader that has seen `last_id`."""
    events = whole_stream()
    seen = [number for number, event in enumerate(events) if last_id and f"id: {last_id}\r\n".encode() in event]
    return events[seen[-1] + 1 :] if seen else events


def stream(body: bytes, cut: bool = False) -> Reply:
    return Reply(200, body, "text/event-stream", cut=cut)


def items(answer: Callable[[Request], Reply], give_up_seconds: float = 20) -> tuple[list[StreamItem], Scripted]:
    with Scripted.serve(answer) as server, Turnlog.open(server.url, "key", give_up_seconds=give_up_seconds) as client:
        return list(client.events("t1")), server


def items_asynchronously(answer: Callable[[Request], Reply]) -> tuple[list[StreamItem], Scripted]:
    async def followed(url: str) -> list[StreamItem]:
        async with AsyncTurnlog.open(url, "key", give_up_seconds=20) as client:
            return [item async for item in client.events("t1")]

    with Scripted.serve(answer) as server:
        return asyncio.run(followed(server.url)), server


def answered(found: list[StreamItem]) -> Answer:
    answer = Answer()
    for item in found:
        answer.take(item)
    return answer


def test_a_stream_is_told_as_types_and_new_kinds_are_left_out() -> None:
    found, _ = items(lambda request: stream(b"".join(whole_stream())))
    assert found[:2] == [Progress(stage="queued"), Progress(stage="retrieving")]
    assert isinstance(found[2], Passages)
    assert found[3] == Waiting(server="triton")
    assert found[4:] == [*(Delta(text=text) for text in TEXT), Ended(status="completed", length=len("".join(TEXT)))]


@pytest.mark.parametrize("follow", [items, items_asynchronously])
@pytest.mark.parametrize("cut", [False, True])
def test_cut_after_every_event_nothing_is_missing_and_nothing_comes_twice(cut: bool, follow: Follow) -> None:
    def one_event(request: Request) -> Reply:
        left = after(request.headers.get("last-event-id", ""))
        return stream(left[0] + left[1][:9] if len(left) > 1 else left[0], cut)

    found, server = follow(one_event)
    assert answered(found).text == "".join(TEXT)
    assert len(server.asked) >= len(TEXT) + 4
    assert server.asked[0].headers["accept"] == "text/event-stream"
    assert "last-event-id" not in server.asked[0].headers


def test_the_server_may_be_away_for_a_while() -> None:
    troubles = iter([Reply(503), Reply(502, b"<html>", "text/html"), Reply(429, headers={"retry-after": "0"})])
    found, _ = items(lambda request: next(troubles, stream(b"".join(whole_stream()))))
    assert answered(found).text == "".join(TEXT)


def test_a_server_that_stays_silent_is_given_up() -> None:
    with pytest.raises(Unreachable, match="ended too early"):
        items(lambda request: stream(b": ping\n\n"), give_up_seconds=0.3)


def test_a_turn_that_is_not_ours_is_a_problem_at_once() -> None:
    body = json.dumps({"type": "urn:turnlog:not-found", "title": "Not Found", "detail": "there is no turn t1"}).encode()
    with pytest.raises(Problem, match="there is no turn t1") as problem:
        items(lambda request: Reply(404, body, "application/problem+json"))
    assert (problem.value.status, problem.value.kind) == (404, "not-found")


def test_a_restart_takes_the_text_back() -> None:
    answer = answered([Delta(text="old"), Restart(), Delta(text="new"), Ended(status="completed", length=3)])
    assert answer.text == "new"


def test_missing_characters_are_noticed() -> None:
    with pytest.raises(TurnlogError, match="has 9 characters, 3 arrived"):
        answered([Delta(text="new"), Ended(status="completed", length=9)])


def test_only_passages_that_the_text_names_are_cited() -> None:
    shown = tuple(
        Passage(collection_id="c", document_id=f"d{n}", version=1, passage=0, number=n, title="T", page=n)
        for n in (1, 2)
    )
    answer = answered([Passages(passages=shown), Delta(text="so [2]"), Ended(status="completed", length=6)])
    assert [passage.place for passage in answer.cited] == ["T, page 2"]
