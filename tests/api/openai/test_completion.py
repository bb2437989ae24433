"""A turn's stream in OpenAI's words, whatever happens to the turn."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson

from api.openai.completion import Completion, annotations
from api.stream.follow import end_frame, restart
from api.stream.frames import PING, Place, aside
from api.stream.told import Told

TURN = "01a1fe9a-bae3-73b4-8586-14dad7ca358c"


def told(text: str, **more: Any) -> Told:
    return Told(7, 9, "completed", None, text, [], more.pop("passages", []), **more)


def delta(text: str, attempt: int = 7) -> bytes:
    return Place(attempt, 1, len(text)).frame("delta", {"text": text})


def ended(status: str = "completed", reason: str | None = None) -> bytes:
    return end_frame(Place(7, 9, 0), status, reason)


async def chunks(*frames: bytes, record: Told | None = None, usage: bool = False) -> list[Any]:
    """What a client reads of a stream of these frames."""

    async def given() -> AsyncGenerator[bytes, None]:
        for frame in frames:
            yield frame

    async def tell() -> Told | None:
        return record

    completion = Completion(TURN, "words", 1, tell, usage=usage)
    said = b"".join([chunk async for chunk in completion.chunks(given())]).split(b"\n\n")
    assert completion.over
    assert said[-2:] == [b"data: [DONE]", b""]
    return [orjson.loads(block.removeprefix(b"data: ")) for block in said[:-2] if block.startswith(b"data: ")]


def text_of(said: list[Any]) -> str:
    return "".join(one["choices"][0]["delta"].get("content", "") for one in said if one.get("choices"))


async def test_pieces_are_chunks_and_the_last_says_why_it_ended() -> None:
    said = await chunks(Place().frame("queued", {}), delta("w1 "), PING, delta('"w2" ü\n'), ended())
    assert text_of(said) == 'w1 "w2" ü\n'
    assert [one["choices"][0]["finish_reason"] for one in said] == [None, None, None, "stop"]
    assert {one["id"] for one in said} == {f"chatcmpl-{TURN}"}
    assert said[0]["choices"][0]["delta"]["role"] == "assistant"


async def test_frames_that_come_together_are_told_apart() -> None:
    assert text_of(await chunks(delta("a") + delta("b") + aside("waiting", {"server": "triton"}), ended())) == "ab"


async def test_the_limit_of_tokens_is_the_length() -> None:
    assert (await chunks(delta("a"), ended(reason="length")))[-1]["choices"][0]["finish_reason"] == "length"


async def test_an_attempt_that_says_the_same_anew_goes_on_where_the_client_was() -> None:
    said = await chunks(delta("w1 "), delta("w2 "), restart(8), delta("w1 w"), delta("2 w3 "), delta("w4"), ended())
    assert text_of(said) == "w1 w2 w3 w4"


async def test_an_attempt_that_says_something_else_is_an_error_that_names_the_turn() -> None:
    said = await chunks(delta("w1 "), restart(8), delta("v1 "), delta("v2 "), ended())
    assert text_of(said[:-1]) == "w1 "
    assert (said[-1]["error"]["code"], said[-1]["error"]["turn_id"]) == ("answer_changed", TURN)


async def test_an_attempt_that_says_less_is_an_error() -> None:
    said = await chunks(delta("w1 w2 "), restart(8), delta("w1 "), ended())
    assert said[-1]["error"]["code"] == "answer_changed"


async def test_a_turn_that_failed_is_an_error_and_not_a_short_answer() -> None:
    said = await chunks(delta("w1 "), ended("failed", "triton was away for too long"))
    assert said[-1]["error"]["message"] == "triton was away for too long"
    assert all(one.get("error") or one["choices"][0]["finish_reason"] is None for one in said)


async def test_usage_comes_last_when_it_was_asked_for() -> None:
    record = told("a", prompt_tokens=5, completion_tokens=2, pieces=9)
    said = await chunks(delta("a"), ended(), record=record, usage=True)
    assert said[-1]["choices"] == []
    assert said[-1]["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


async def test_citations_are_annotations_of_their_markers() -> None:
    passage = {"number": 2, "collection_id": "c", "document_id": "d", "title": None}
    record = told("It is so [1, 2].", passages=[passage], citations=[{"number": 2, "position": 9}])
    (found,) = annotations(record)
    cited = found["url_citation"]
    assert record.text[cited["start_index"] : cited["end_index"]] == "[1, 2]"
    assert (cited["url"], cited["title"]) == ("/v1/collections/c/documents/d", "d")
    said = await chunks(Place(7, 1, 0).frame("passages", {}), delta(record.text), ended(), record=record)
    assert said[-1]["choices"][0]["delta"]["annotations"] == [found]
