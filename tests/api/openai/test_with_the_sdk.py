"""OpenAI's own client against a running API: chat, stream, errors, leaving, trying again, embeddings."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import openai
import pytest
import pytest_asyncio

from api.routes.openai import TOGETHER
from tests.api.house import House, after, superuser
from tests.api.openai.conftest import GONE_SECONDS
from tests.chatting import SECONDS, follow, joined, turn, words
from tests.servers import Servers


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk(house: House, anna: httpx.AsyncClient) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client, with her key."""
    key = anna.headers["authorization"].removeprefix("Bearer ")
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{house.url}/v1", max_retries=0) as client:
        yield client


def asking(text: str) -> Any:
    return [{"role": "system", "content": "Be short."}, {"role": "user", "content": text}]


async def test_a_whole_answer(sdk: openai.AsyncOpenAI, anna: httpx.AsyncClient) -> None:
    raw = await sdk.chat.completions.with_raw_response.create(
        model="words",
        messages=asking("words: count=20 delay_ms=1"),
        temperature=0.5,
        max_completion_tokens=1000,
        user="somebody",
        metadata={"case": "first"},
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == words(20)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    kept = await turn(anna, raw.headers["x-turnlog-turn"])
    assert (kept["status"], kept["answer"], kept["conversation_id"]) == ("completed", words(20), kept["turn_id"])


async def test_a_stream_with_usage(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="words",
        messages=asking("words: count=30 delay_ms=2"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == words(30)
    assert chunks[-1].usage is not None
    assert chunks[-2].choices[0].finish_reason == "stop"


async def test_the_streaming_helper(sdk: openai.AsyncOpenAI) -> None:
    async with sdk.chat.completions.stream(
        model="words",
        messages=asking("words: count=10 delay_ms=1"),
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == words(10)


async def test_max_tokens_ends_the_answer_with_length(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(
        model="words",
        messages=asking("words: count=50 delay_ms=1"),
        max_tokens=5,
    )
    assert answer.choices[0].message.content == words(5)
    assert answer.choices[0].finish_reason == "length"


async def test_a_stop_sequence_ends_the_answer_with_stop(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(
        model="words", messages=asking("words: count=50 delay_ms=1"), stop=["w6 w7"]
    )
    assert answer.choices[0].message.content == words(5)
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"temperature": 3}, "temperature"),
        ({"seed": 2**70}, "seed"),
        ({"made_up": 1}, "made_up"),
        ({"messages": [{"role": "assistant", "content": "so"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "so", "name": "anna"}]}, "messages.0.name"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
    ],
)
async def test_what_is_not_supported_is_an_error_in_their_shape(
    anna: httpx.AsyncClient, body: dict[str, object], param: str
) -> None:
    asked = {"model": "words", "messages": asking("words: count=1")} | body
    answer = await anna.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert error["message"]


async def test_an_answer_is_taken_back_as_the_sdk_dumps_it(sdk: openai.AsyncOpenAI) -> None:
    first: Any = await sdk.chat.completions.create(model="words", messages=asking("words: count=2"), stream=None)
    said: Any = first.choices[0].message.model_dump()
    assert said["tool_calls"] is said["function_call"] is said["audio"] is None
    messages = [*asking("words: count=2"), said, *asking("words: count=3")]
    again = await sdk.chat.completions.create(model="words", messages=messages)
    assert again.choices[0].message.content == words(3)


async def test_a_model_that_is_not_there_and_a_key_that_is_not_known(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="there are answerer, words"):
        await sdk.chat.completions.create(model="gpt", messages=asking("?"))
    with pytest.raises(openai.AuthenticationError):
        await sdk.with_options(api_key="tl_wrong").models.list()
    with pytest.raises(openai.NotFoundError):
        await sdk.models.retrieve("gpt")
    assert {model.id async for model in sdk.models.list()} == {"answerer", "words"}


async def leave(sdk: openai.AsyncOpenAI, asked: str, **headers: str) -> str:
    """Asks, and goes after the first words; gives the turn."""
    stream: Any = await sdk.chat.completions.create(
        model="words",
        messages=asking(asked),
        stream=True,
        extra_headers=headers,
    )
    turn_id = str(stream.response.headers["x-turnlog-turn"])
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    await stream.close()
    return turn_id


async def test_a_reader_that_leaves_stops_the_model(
    sdk: openai.AsyncOpenAI, anna: httpx.AsyncClient, servers: Servers
) -> None:
    turn_id = await leave(sdk, "words: count=3000 delay_ms=10")
    async with asyncio.timeout(60):
        while (kept := await turn(anna, turn_id))["status"] == "running":
            await asyncio.sleep(0.1)
        while "cancelled after" not in (noted := noted_of(servers, turn_id)):
            await asyncio.sleep(0.1)
    assert kept["status"] == "stopped"
    assert words(3000).startswith(kept["answer"])
    assert "finished" not in noted


async def test_a_caller_of_a_whole_answer_that_leaves_stops_the_model(
    anna: httpx.AsyncClient, servers: Servers
) -> None:
    asked = {"model": "words", "messages": asking("words: count=3000 delay_ms=10 marker=hung-up")}
    with pytest.raises(httpx.ReadTimeout):
        await anna.post("/v1/chat/completions", json=asked, timeout=1)
    async with asyncio.timeout(60):
        while "cancelled after" not in noted_of(servers, "marker=hung-up"):
            await asyncio.sleep(0.1)


async def test_closing_a_key_or_a_user_ends_the_whole_answer_that_is_waited_for(house: House, servers: Servers) -> None:
    root, ben, eva = await house.user("root", "admin"), await house.user("ben", "chat"), await house.user("eva", "chat")
    waiting = []
    for client, marker in ((ben, "marker=revoked"), (eva, "marker=switched-off")):
        asked = {"model": "words", "messages": asking(f"words: count=3000 delay_ms=10 {marker}")}
        waiting.append(asyncio.create_task(client.post("/v1/chat/completions", json=asked, timeout=60)))
        async with asyncio.timeout(60):
            while marker not in noted_of(servers, marker):
                await asyncio.sleep(0.1)
    key_id = (await ben.get("/v1/me")).json()["key_id"]
    assert (await ben.delete(f"/v1/keys/{key_id}")).status_code == 204
    assert (await root.patch("/v1/users/eva", json={"enabled": False})).status_code == 200
    for answer in await asyncio.gather(*waiting):
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    async with asyncio.timeout(60):
        for marker in ("marker=revoked", "marker=switched-off"):
            while "cancelled after" not in noted_of(servers, marker):
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("header", ["x-turnlog-detach", "idempotency-key"])
async def test_whoever_says_so_may_leave_and_read_the_rest_later(
    sdk: openai.AsyncOpenAI, anna: httpx.AsyncClient, header: str
) -> None:
    turn_id = await leave(sdk, "words: count=300 delay_ms=10", **{header: "true"})
    await asyncio.sleep(2 * GONE_SECONDS)
    heard = await follow(anna, turn_id)
    assert joined(heard) == words(300)
    assert heard[-1].data["status"] == "completed"


async def test_somebody_who_reads_on_in_time_keeps_the_answer_going(
    sdk: openai.AsyncOpenAI, anna: httpx.AsyncClient
) -> None:
    heard = await follow(anna, await leave(sdk, "words: count=300 delay_ms=10"))
    assert joined(heard) == words(300)


async def test_trying_again_with_the_same_key_is_the_same_turn(sdk: openai.AsyncOpenAI) -> None:
    made = [
        await sdk.chat.completions.create(
            model="words",
            messages=asking("words: count=10"),
            extra_headers={"idempotency-key": "again"},
        )
        for _ in range(2)
    ]
    assert made[0].id == made[1].id
    assert [one.choices[0].message.content for one in made] == [words(10)] * 2


@pytest.mark.parametrize("stream", [True, False])
async def test_trying_again_after_the_conversation_was_deleted_is_404(
    sdk: openai.AsyncOpenAI, anna: httpx.AsyncClient, stream: bool
) -> None:
    async def ask() -> Any:
        async with asyncio.timeout(SECONDS):
            return await sdk.chat.completions.with_raw_response.create(
                model="words",
                messages=asking("words: count=3"),
                stream=stream,
                extra_headers={"idempotency-key": f"deleted, {stream=}"},
            )

    turn_id = (await ask()).headers["x-turnlog-turn"]
    await follow(anna, turn_id)
    assert (await anna.delete(f"/v1/conversations/{turn_id}")).status_code == 204
    with pytest.raises(openai.NotFoundError, match=turn_id):
        await ask()


async def test_a_client_that_tries_by_itself_does_not_ask_again_for_what_failed(
    house: House, sdk: openai.AsyncOpenAI
) -> None:
    before = turns_asked(house)
    with pytest.raises(openai.InternalServerError, match="count is 0 to") as failed:
        await sdk.with_options(max_retries=2).chat.completions.create(model="words", messages=asking("words: count=-1"))
    assert failed.value.status_code == 502
    assert turns_asked(house) - before == 1


def turns_asked(house: House) -> int:
    """How many turns were accepted, whether or not the views know them."""
    with superuser(house.settings) as db:
        return len(db.execute("select 1 from state.requests where topic = 'turns'").fetchall())


async def test_a_completions_conversation_is_there_before_the_views_know_it(
    house: House, anna: httpx.AsyncClient
) -> None:
    asked = {"model": "words", "messages": asking("words: count=3")}
    with superuser(house.settings) as db, db.transaction():
        hold = "lock table views.conversations in exclusive mode"  # which readers may pass
        await asyncio.to_thread(db.execute, hold)  # the fold that it waits for runs in this loop
        answer = await anna.post("/v1/chat/completions", json=asked)
        path = f"/v1/conversations/{answer.headers['x-turnlog-turn']}"
        assert (await anna.get(path)).json()["turns"] == []
    (said,) = (await anna.get(path, headers=after(answer))).json()["turns"]
    assert said["question"] == "words: count=3"
    assert (await anna.delete(path)).status_code == 204
    assert (await anna.get(path)).status_code == 404


async def test_a_client_that_times_out_and_tries_by_itself_makes_one_turn(
    sdk: openai.AsyncOpenAI, anna: httpx.AsyncClient
) -> None:
    before = await conversations(anna)
    answer = await sdk.with_options(timeout=1, max_retries=10).chat.completions.create(
        model="words",
        messages=asking("words: count=100 delay_ms=25"),
        extra_headers={"idempotency-key": "patient"},
    )
    assert answer.choices[0].message.content == words(100)
    assert await conversations(anna) - before == {answer.id.removeprefix("chatcmpl-")}


async def test_the_synchronous_client(house: House, anna: httpx.AsyncClient) -> None:
    key = anna.headers["authorization"].removeprefix("Bearer ")

    def whole_and_streamed() -> tuple[str | None, str]:
        with openai.OpenAI(api_key=key, base_url=f"{house.url}/v1", max_retries=0) as client:
            whole = client.chat.completions.create(model="words", messages=asking("words: count=7 delay_ms=1"))
            stream = client.chat.completions.create(
                model="words",
                messages=asking("words: count=7 delay_ms=1"),
                stream=True,
            )
            streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        return whole.choices[0].message.content, streamed

    assert await asyncio.to_thread(whole_and_streamed) == (words(7), words(7))


async def test_embeddings(sdk: openai.AsyncOpenAI) -> None:
    one = await sdk.embeddings.create(model="embedder", input="The pump runs ten hours.", encoding_format="float")
    same = await sdk.embeddings.create(model="embedder", input=["Something else.", "The pump runs ten hours."])
    vector = one.data[0].embedding
    assert len(vector) == 384
    assert abs(sum(number * number for number in vector) - 1) < 1e-3
    assert same.data[1].embedding == pytest.approx(vector, abs=1e-6)
    assert one.usage.prompt_tokens == 6
    raw = await sdk.embeddings.with_raw_response.create(model="embedder", input="x", encoding_format="base64")
    bytes_of = base64.b64decode(raw.http_response.json()["data"][0]["embedding"])
    assert len(struct.unpack("<384f", bytes_of)) == 384


async def test_what_cannot_be_embedded_is_refused(sdk: openai.AsyncOpenAI) -> None:
    for numbers in ([1, 2, 3], [[1, 2, 3]], [1] * 100_000):
        with pytest.raises(openai.BadRequestError, match="token numbers are not taken: send the text") as refused:
            await sdk.embeddings.create(model="embedder", input=numbers)
        assert refused.value.param == "input"
    with pytest.raises(openai.BadRequestError, match="2048 at most"):
        await sdk.embeddings.create(model="embedder", input=["x"] * 2049)
    with pytest.raises(openai.BadRequestError, match="254"):
        await sdk.embeddings.create(model="embedder", input="word " * 300)
    with pytest.raises(openai.BadRequestError, match="empty"):
        await sdk.embeddings.create(model="embedder", input=["", "x"])
    with pytest.raises(openai.BadRequestError, match="384"):
        await sdk.embeddings.create(model="embedder", input="x", dimensions=100)
    with pytest.raises(openai.NotFoundError):
        await sdk.embeddings.create(model="ada", input="x")


async def embedded(house: House) -> int:
    """How many texts Triton has embedded since it began."""
    async with httpx.AsyncClient(base_url=house.settings.triton_http, trust_env=False) as triton:
        (model,) = (await triton.get("/v2/models/embedder/stats")).json()["model_stats"]
    return int(model["inference_count"])


async def test_a_search_does_not_wait_for_texts_that_somebody_embeds_nor_they_for_nobody(
    house: House, sdk: openai.AsyncOpenAI, anna: httpx.AsyncClient
) -> None:
    before, texts = await embedded(house), [f"{uuid4()} " + "word " * 100 for _ in range(400)]
    embedding = asyncio.create_task(sdk.embeddings.create(model="embedder", input=texts))
    async with asyncio.timeout(60):
        while await embedded(house) == before:
            await asyncio.sleep(0.01)
    found = await anna.post("/v1/search", json={"query": f"question {uuid4()}"})
    assert found.status_code == 200
    assert await embedded(house) - before < len(texts) / 2
    assert not embedding.done()
    embedding.cancel()
    await asyncio.wait([embedding])
    left, few = await embedded(house), [str(uuid4()) for _ in range(3 * TOGETHER)]
    await sdk.embeddings.create(model="embedder", input=few)
    assert await embedded(house) - left < len(few) + TOGETHER  # of those whom nobody waits for, the ones under way


def noted_of(servers: Servers, what: str) -> str:
    """The model's own lines about a turn, or a marker."""
    return "".join(line for line in servers.words_log.read_text().splitlines(True) if what in line)


async def conversations(client: httpx.AsyncClient) -> set[str]:
    """Every completion is a turn in a conversation of its own."""
    found = (await client.get("/v1/conversations", params={"limit": 1000})).json()
    return {one["conversation_id"] for one in found}
