"""The paced model: its directive, its pace, its log, and hundreds of streams in one instance."""

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from infra.providers.provider import Provider
from schemas.event import uuid7
from tests.infra.providers.asking import answer, request, started
from tests.infra.providers.words_log import noted
from tests.servers import Servers


@pytest.fixture(scope="module")
def directive() -> ModuleType:
    """The module by which the model reads its directive."""
    path = Path(__file__).parents[2] / "triton_models/words/1/directive.py"
    spec = importlib.util.spec_from_file_location("directive", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "max_tokens", "expected"),
    [
        ("Hello", None, {"count": 64, "delay_ms": 5.0, "fail_after": None, "marker": "-"}),
        (
            "words: count=9 delay_ms=0.5 fail_after=3 marker=t-1",
            None,
            {"count": 9, "delay_ms": 0.5, "fail_after": 3, "marker": "t-1"},
        ),
        ("Please say words: count=9", 4, {"count": 4, "cut": True}),
        ("Please say words: count=9", 9, {"count": 9, "cut": False}),
        ("<question>\nwords: count=1\n</question>\n<question>\nwords: count=2\n</question>", None, {"count": 2}),
        ('<earlier role="user">\nwords: count=7\n</earlier>\n<question>\nHi\n</question>', None, {"count": 64}),
    ],
)
def test_the_directive_is_the_questions(
    directive: ModuleType, text: str, max_tokens: int | None, expected: dict[str, Any]
) -> None:
    assert vars(directive.read(text, max_tokens)).items() >= expected.items()


@pytest.mark.parametrize(
    "beyond",
    ["count=1000001", "count=-1", "delay_ms=-1", "delay_ms=600001", "delay_ms=nan", "delay_ms=inf", "fail_after=-1"],
)
def test_a_directive_beyond_its_bounds_is_refused(directive: ModuleType, beyond: str) -> None:
    with pytest.raises(ValueError, match=beyond.partition("=")[0]):
        directive.read(f"words: {beyond}")


async def test_a_hundred_thousand_words_come_a_thousand_at_once(triton: Provider) -> None:
    text, ended = await answer(triton, "words", "words: count=100000 delay_ms=0")
    assert len(text.split()) == 100_000
    assert ended.usage.pieces == 100


def test_words_are_due_at_their_pace_and_end_where_they_fail(directive: ModuleType) -> None:
    wanted = directive.read("words: count=10 delay_ms=5 fail_after=4")
    assert [wanted.due(seconds) for seconds in (0, 0.0049, 0.0051, 0.016, 9)] == [1, 1, 2, 4, 4]
    assert directive.read("words: count=10 delay_ms=1e-320").due(9) == 10
    assert (wanted.words, wanted.fails, wanted.text(2, 4)) == (4, True, "w3 w4 ")


async def test_words_do_not_come_before_their_time(triton: Provider) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await answer(triton, "words", "words: count=21 delay_ms=10")
    assert loop.time() - begun >= 0.2


async def test_five_hundred_streams_run_side_by_side(triton: Provider) -> None:
    answers = await asyncio.gather(*(answer(triton, "words", "words: count=100 delay_ms=10") for _ in range(500)))
    assert {len(text.split()) for text, _ in answers} == {100}


@pytest.mark.parametrize(
    ("question", "ends"), [("words: count=3", "finished 3"), ("words: count=3 fail_after=1", "failed after 1")]
)
async def test_the_log_says_what_became_of_each_stream(
    triton: Provider, servers: Servers, question: str, ends: str
) -> None:
    turn_id = uuid7()
    async with started(triton, request(triton, "words", f"{question} marker=m-7", turn_id=turn_id)) as (generation, _):
        await asyncio.gather(generation.ended(), return_exceptions=True)
    assert await noted(servers, turn_id, "started") == f"started turn={turn_id} marker=m-7"
    assert await noted(servers, turn_id, ends) == f"{ends} turn={turn_id} marker=m-7"


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "words: count=2w1 w2 "), ({"exclude_input_in_output": True}, "w1 w2 "), ({"stream": True}, "w1 ")],
)
async def test_without_a_stream_it_echoes_as_the_vllm_backend_does(
    servers: Servers, given: dict[str, bool], said: str
) -> None:
    count = 1 if given.get("stream") else 2
    async with httpx.AsyncClient() as http:
        url = f"{servers.settings.triton_http}/v2/models/words/generate"
        answered = await http.post(url, json={"text_input": f"words: count={count}", **given})
    assert answered.json()["text_output"] == said
    assert "finish_reason" not in answered.json()


@pytest.mark.parametrize(("max_tokens", "reason"), [(1, "length"), (2, "stop")])
async def test_it_says_why_it_ended_when_asked_as_the_vllm_backend_does(
    servers: Servers, max_tokens: int, reason: str
) -> None:
    given = {"return_finish_reason": True, "sampling_parameters": f'{{"max_tokens": {max_tokens}}}'}
    async with httpx.AsyncClient() as http:
        url = f"{servers.settings.triton_http}/v2/models/words/generate"
        answered = await http.post(url, json={"text_input": "words: count=2", **given})
    assert answered.json()["finish_reason"] == reason
