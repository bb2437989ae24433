"""Streams from a real Triton: pace, stops that the model's own log shows, and errors in our three words."""

import asyncio
from dataclasses import replace

import pytest

from infra.models import read_models
from infra.providers.opened import open_providers
from infra.providers.provider import ModelFailed, Provider
from schemas.errors import Invalid, Unavailable
from schemas.event import uuid7
from schemas.turns import Parameters
from tests.infra.providers.asking import Heard, answer, first_text, request, started, waited
from tests.infra.providers.words_log import noted
from tests.servers import Servers

LONG = "words: count=2000 delay_ms=10"


def numbered(count: int) -> str:
    return "".join(f"w{number} " for number in range(1, count + 1))


async def test_an_answer_comes_whole_and_in_few_deltas(triton: Provider) -> None:
    async with started(triton, request(triton, "words", "words: count=60 delay_ms=5")) as (generation, heard):
        text, ended = await waited(generation, heard)
    assert text == numbered(60)
    assert ended.status == "completed"
    assert len(heard.texts) < ended.usage.pieces <= 60
    assert generation.first_piece_at is not None


async def test_the_first_piece_does_not_wait_for_the_tick(servers: Servers) -> None:
    slow = servers.settings.limits.model_copy(update={"coalesce_seconds": 3600})
    settings = servers.settings.model_copy(update={"limits": slow})
    async with open_providers(settings, read_models(settings)) as providers:
        triton = providers["triton"]
        async with started(triton, request(triton, "words", LONG)) as (_, heard):
            assert (await first_text(heard)).startswith("w1 ")


async def test_no_more_tokens_come_than_were_asked_for(triton: Provider) -> None:
    text, ended = await answer(triton, "words", "words: count=64 delay_ms=1", max_tokens=3)
    assert (text, ended.status) == (numbered(3), "length")
    text, ended = await answer(triton, "words", "words: count=3 delay_ms=1", max_tokens=3)
    assert (text, ended.status) == (numbered(3), "completed")


async def test_a_stop_sequence_ends_the_answer_and_the_model(triton: Provider, servers: Servers) -> None:
    asked = replace(request(triton, "words", LONG), parameters=Parameters(stop=["w9 w10"]))
    async with started(triton, asked) as (generation, heard):
        text, ended = await waited(generation, heard)
    assert (text, ended.status) == (numbered(8), "completed")
    assert "cancelled after" in await noted(servers, asked.turn_id, "cancelled after")


async def test_many_answers_stream_side_by_side_over_kept_connections(triton: Provider) -> None:
    for _ in range(2):
        answers = await asyncio.gather(
            *(answer(triton, "words", f"words: count={count} delay_ms=2") for count in range(1, 151))
        )
        assert [text for text, _ in answers] == [numbered(count) for count in range(1, 151)]


async def test_a_stop_reaches_the_model_and_keeps_what_there_was(triton: Provider, servers: Servers) -> None:
    turn_id = uuid7()
    async with started(triton, request(triton, "words", LONG, turn_id=turn_id)) as (generation, heard):
        await first_text(heard)
        generation.stop()
        text, ended = await waited(generation, heard)
    assert ended.status == "stopped"
    assert numbered(2000).startswith(text)
    assert text.startswith("w1 ")
    assert "cancelled after" in await noted(servers, turn_id, "cancelled after")


async def test_a_cancelled_task_ends_the_call_to_the_model(triton: Provider, servers: Servers) -> None:
    turn_id, heard = uuid7(), Heard()

    async def work() -> None:
        async with triton.generate(request(triton, "words", LONG, turn_id=turn_id), heard.on_text) as generation:
            await generation.ended()

    task = asyncio.create_task(work())
    await first_text(heard)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    before = list(heard.texts)
    await noted(servers, turn_id, "cancelled after")
    assert heard.texts == before


async def test_a_text_that_cannot_be_taken_ends_the_answer_and_nothing_follows_it(
    triton: Provider, servers: Servers
) -> None:
    turn_id, taken = uuid7(), list[str]()

    async def on_text(text: str) -> None:
        taken.append(text)
        if len(taken) == 2:
            raise OSError("kafka is away")

    with pytest.raises(OSError, match="kafka is away"):
        async with triton.generate(request(triton, "words", LONG, turn_id=turn_id), on_text) as generation:
            await generation.ended()
    await noted(servers, turn_id, "cancelled after")
    assert len(taken) == 2


async def test_a_text_that_is_refused_after_the_model_has_ended_is_no_whole_answer(triton: Provider) -> None:
    taken = list[str]()

    async def on_text(text: str) -> None:
        taken.append(text)
        if len(taken) == 2:
            async with asyncio.timeout(30):
                while not generation.complete:
                    await asyncio.sleep(0.01)
            raise OSError("kafka is away")

    asked = request(triton, "words", "words: count=80 delay_ms=5")
    async with triton.generate(asked, on_text) as generation:
        with pytest.raises(OSError, match="kafka is away"):
            await generation.ended()
    assert generation.complete
    assert len(taken) == 2


async def test_one_whose_texts_are_not_taken_holds_up_no_other(triton: Provider) -> None:
    never, stuck = asyncio.Event(), asyncio.Event()

    async def on_text(_text: str) -> None:
        stuck.set()
        await never.wait()

    async with triton.generate(request(triton, "words", LONG), on_text):
        async with asyncio.timeout(30):
            await stuck.wait()
            assert (await answer(triton, "words", "words: count=50 delay_ms=5"))[0] == numbered(50)


async def test_a_model_that_breaks_off_says_so_after_what_it_had_said(triton: Provider) -> None:
    asked = request(triton, "words", "words: count=64 delay_ms=2 fail_after=20")
    with pytest.raises(ModelFailed, match="triton is unavailable: failed on purpose"):
        async with started(triton, asked) as (generation, heard):
            await generation.ended()
    assert heard.text == numbered(20)


async def test_a_model_that_fails_at_once_says_so(triton: Provider) -> None:
    with pytest.raises(ModelFailed, match="failed on purpose"):
        await answer(triton, "words", "words: fail_after=0")


async def test_what_will_never_work_is_invalid(triton: Provider) -> None:
    with pytest.raises(Invalid, match="invalid literal for int"):
        await answer(triton, "words", "words: count=many")


async def test_a_model_that_is_not_there_is_unavailable(triton: Provider) -> None:
    with pytest.raises(Unavailable, match="unknown model: 'nobody' is not found"):
        await answer(triton, "nobody", "?")


async def test_a_server_that_is_not_there_is_unavailable(servers: Servers) -> None:
    models = read_models(servers.settings)
    nowhere = {"triton": replace(models.servers["triton"], url="http://127.0.0.1:1")}
    async with open_providers(servers.settings, replace(models, servers=nowhere)) as providers:
        with pytest.raises(Unavailable, match="triton is unavailable: no connection"):
            await answer(providers["triton"], "words", "?")


async def test_a_model_that_falls_silent_is_given_up(servers: Servers) -> None:
    short = servers.settings.limits.model_copy(update={"between_pieces_seconds": 0.1})
    settings = servers.settings.model_copy(update={"limits": short})
    async with open_providers(settings, read_models(settings)) as providers:
        with pytest.raises(ModelFailed, match="no piece for too long"):
            await answer(providers["triton"], "words", "words: count=3 delay_ms=5000")


async def test_readiness_is_a_call_with_a_deadline(triton: Provider) -> None:
    await triton.check("words", 30)
    await triton.check("answerer", 30)
    with pytest.raises(Unavailable, match="no word from answerer in 0 s"):
        await triton.check("answerer", 0)
