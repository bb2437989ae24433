"""The OpenAI wire protocol, with a server that says what a test needs said."""

import asyncio
from dataclasses import replace

import pytest

from infra.providers.provider import ModelFailed
from schemas.answers import Usage
from schemas.errors import Invalid, Refused, Unavailable
from schemas.turns import Parameters
from tests.infra.providers.asking import answer, first_text, request, started
from tests.infra.providers.fake_openai import DONE, END, HEAD, OPEN_DONE, chunk, event, opened, piece, whole

LAST = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = event(choices=[], usage={"prompt_tokens": 11, "completion_tokens": 2})


async def test_an_answer_comes_with_its_usage() -> None:
    first = event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
    async with opened(HEAD, first, piece("Hello"), piece(", 世界"), LAST, USAGE, DONE) as (_, provider):
        text, ended = await answer(provider, "m", "Hi")
    assert text == "Hello, 世界"
    assert ended.status == "completed"
    assert ended.usage == Usage(prompt_tokens=11, completion_tokens=2, pieces=2)


@pytest.mark.parametrize("odd", [-1, 2**31, 2**70, 1.5, True, "11", None, [], {}])
async def test_a_usage_that_is_no_count_is_none(odd: object) -> None:
    usage = event(choices=[], usage={"prompt_tokens": odd, "completion_tokens": 2})
    async with opened(HEAD, piece("x"), LAST, usage, DONE) as (_, provider):
        _, ended = await answer(provider, "m", "Hi")
    assert ended.usage == Usage(prompt_tokens=None, completion_tokens=2, pieces=1)


async def test_what_is_asked_has_the_key_the_exact_messages_and_only_parameters_that_were_given() -> None:
    async with opened(HEAD, piece("x", "stop"), DONE) as (fake, provider):
        asked = request(provider, "m-1", "What is ünïcode & <so on>?")
        asked = replace(asked, parameters=Parameters(max_tokens=9, temperature=0.5, stop=["END"]))
        async with started(provider, asked) as (generation, _):
            await generation.ended()
    assert fake.heads[0].startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert "authorization: Bearer secret-key\r\n" in fake.heads[0]
    assert fake.bodies[0] == {
        "messages": [{"role": "user", "content": "What is ünïcode & <so on>?"}],
        "model": "m-1",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "temperature": 0.5,
        "stop": ["END"],
    }


async def test_no_key_no_authorization() -> None:
    async with opened(HEAD, piece("x", "stop"), DONE, key=None) as (fake, provider):
        await answer(provider, "m", "Hi")
    assert "authorization" not in fake.heads[0]


async def test_an_event_may_come_in_any_cut() -> None:
    stream = HEAD + piece("one ") + piece("two ") + piece("thrée", "stop") + DONE
    async with opened(*(stream[at : at + 1] for at in range(len(stream)))) as (_, provider):
        assert (await answer(provider, "m", "Hi"))[0] == "one two thrée"


async def test_carriage_returns_comments_and_an_end_without_a_line_end_are_fine() -> None:
    odd = (
        chunk(b": ping\r\n\r\n")
        + chunk(b'data:{"choices":[{"delta":{"content":"a"}}]}\r\n\r\n')
        + chunk(b"data: [DONE]")
        + END
    )
    async with opened(HEAD, odd) as (_, provider):
        assert (await answer(provider, "m", "Hi"))[0] == "a"


async def test_only_the_first_choice_counts() -> None:
    other = event(choices=[{"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}])
    both = event(choices=[{"index": 1, "delta": {"content": "other"}}, {"index": 0, "delta": {"content": "b"}}])
    async with opened(HEAD, piece("a"), other, both, LAST, DONE) as (_, provider):
        text, ended = await answer(provider, "m", "Hi")
    assert (text, ended.status) == ("ab", "completed")


async def test_a_token_limit_is_said() -> None:
    async with opened(HEAD, piece("cut", "length"), DONE) as (_, provider):
        assert (await answer(provider, "m", "Hi"))[1].status == "length"


async def test_a_stop_sequence_ends_the_answer_and_the_model() -> None:
    async with opened(HEAD, piece("one E"), piece("ND two", "length"), *[piece(" more")] * 1000) as (fake, provider):
        asked = replace(request(provider, "m", "Hi"), parameters=Parameters(stop=["END"]))
        async with started(provider, asked) as (generation, heard):
            ended = await generation.ended()
        await fake.left.wait()
    assert (heard.text, ended.status) == ("one ", "completed")


async def test_a_server_that_stops_by_itself_is_heard_to_its_end() -> None:
    async with opened(HEAD, piece("one EN"), LAST, USAGE, DONE) as (fake, provider):
        asked = replace(request(provider, "m", "Hi"), parameters=Parameters(stop=["END"]))
        for _ in range(2):
            async with started(provider, asked) as (generation, heard):
                ended = await generation.ended()
            assert (heard.text, ended.status, ended.usage.completion_tokens) == ("one EN", "completed", 2)
    assert fake.connections == 1


async def test_connections_are_used_again() -> None:
    async with opened(HEAD, piece("x", "stop"), DONE) as (fake, provider):
        for _ in range(3):
            await answer(provider, "m", "Hi")
    assert fake.connections == 1


async def test_an_answer_ends_when_its_server_says_so_though_the_body_stays_open() -> None:
    async with opened(HEAD, piece("x", "stop"), OPEN_DONE + piece("y")) as (fake, provider):
        for _ in range(2):
            text, ended = await answer(provider, "m", "Hi")
            assert (text, ended.status) == ("x", "completed")
    assert fake.connections == 2, "a connection is used again although its last answer goes on"


async def test_a_connection_whose_body_ends_after_the_answer_is_used_again() -> None:
    async with opened(HEAD, piece("x", "stop"), OPEN_DONE, END) as (fake, provider):
        for _ in range(2):
            async with started(provider, request(provider, "m", "Hi")) as (generation, _heard):
                await generation.ended()
            async with asyncio.timeout(30):
                while not generation.complete:
                    await asyncio.sleep(0.001)
    assert fake.connections == 1


async def test_a_server_that_closes_after_each_answer_is_fine() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    body = b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    async with opened(head, body, closes=True) as (fake, provider):
        for _ in range(2):
            assert (await answer(provider, "m", "Hi"))[0] == "x"
    assert fake.connections == 2


async def test_a_stop_closes_the_connection() -> None:
    async with opened(HEAD, piece("one"), *[piece(" more")] * 1000) as (fake, provider):
        async with started(provider, request(provider, "m", "Hi")) as (generation, heard):
            await first_text(heard)
            generation.stop()
            assert (await generation.ended()).status == "stopped"
        await fake.left.wait()


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ([HEAD, chunk(b"data: {nonsense\n\n")], ModelFailed, "no chunk of a chat completion: '{nonsense'"),
        ([HEAD, chunk(b'data: {"choices":"x"}\n\n')], ModelFailed, "no chunk of a chat completion"),
        ([HEAD, piece("a"), event(error={"message": "overloaded"})], ModelFailed, "overloaded"),
        ([HEAD, piece("a"), END], ModelFailed, "its stream ended before the answer did"),
        ([whole(200, {"choices": [{"message": {"content": "a"}}]})], ModelFailed, "what it sent is no event stream"),
        ([HEAD, piece("a", "content_filter"), DONE], Refused, "content filter"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], Unavailable, "no HTTP"),
        ([HEAD, chunk(b"data: " + b"x" * 1_200_000)], ModelFailed, "an event without an end"),
        ([whole(429, {"error": {"message": "slow down"}})], Unavailable, "slow down .status 429"),
        ([whole(503, {})], Unavailable, "status 503"),
        ([whole(401, {"error": {"message": "bad key sk-abc"}})], Unavailable, "does not accept our API key"),
        ([whole(404, {"error": {"message": "no such model"}})], Invalid, "hosted: no such model .status 404"),
        ([whole(400, {"error": {"message": "not this", "code": "content_policy_violation"}})], Refused, "not this"),
        ([whole(400, {"error": "context too long"})], Invalid, "status 400"),
    ],
)
async def test_what_goes_wrong_is_one_of_three_words(script: list[bytes], kind: type[Exception], said: str) -> None:
    async with opened(*script) as (_, provider):
        with pytest.raises(kind, match=said) as caught:
            await answer(provider, "m", "Hi")
    assert type(caught.value) is kind


ECHO = "bad header authorization: Bearer secret-key"


@pytest.mark.parametrize(
    "script",
    [
        [whole(400, {"error": {"message": ECHO}})],
        [whole(400, {"error": {"message": "x" * 190 + "secret-key"}})],
        [whole(400, {"error": {"message": ECHO, "code": "content_filter"}})],
        [whole(500, {"error": {"message": {"headers": ECHO}}})],
        [HEAD, event(error={"message": ECHO})],
        [HEAD, event(error={"headers": ECHO})],
        [HEAD, chunk(b"data: " + ECHO.encode() + b"\n\n")],
        [HEAD, chunk(b"data: " + b"x" * 75 + b"secret-key\n\n")],
    ],
)
async def test_a_key_that_the_server_repeats_is_not_told(script: list[bytes]) -> None:
    async with opened(*script) as (_, provider):
        with pytest.raises((Unavailable, Refused, Invalid)) as caught:
            await answer(provider, "m", "Hi")
    assert "***" in str(caught.value)
    assert "secr" not in str(caught.value)


@pytest.mark.parametrize(("said", "kind"), [((), Unavailable), ((piece("a"),), ModelFailed)])
async def test_a_lost_connection_is_waited_for_before_the_first_piece_and_a_try_after_it(
    said: tuple[bytes, ...], kind: type[Exception]
) -> None:
    async with opened(HEAD, *said, closes=True) as (_, provider):
        async with started(provider, request(provider, "m", "Hi")) as (generation, heard):
            with pytest.raises(kind, match="the connection was closed") as caught:
                await generation.ended()
    assert type(caught.value) is kind
    assert heard.text == "a" * len(said)
