"""What the chat worker does, and what it stands on."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from infra.models import read_models
from infra.postgres.freshness import Freshness, end_offsets, until_fresh
from infra.postgres.pool import open_pool
from infra.providers.opened import open_providers
from infra.triton.tokens import Tokens
from schemas.turns import TurnRequested
from streams.app import Pipeline, Tools
from streams.chat.answer_turn import Chat, answer_turn
from streams.chat.fail_turn import fail_turn, fail_unreadable
from streams.chat.history import History
from streams.chat.places import Places
from streams.chat.prepare import Prepare
from streams.chat.retrieve import open_search
from streams.chat.sealed import Reached, Say, nothing_happens
from streams.chat.stops import Stops
from streams.chat.turns import Turns
from streams.step import Step
from topics.catalogue import ANSWERS, TURNS

POOL = 8


@asynccontextmanager
async def open_chat(tools: Tools, reached: Reached = nothing_happens) -> AsyncIterator[Pipeline]:
    """Opens the worker's pipeline: one step."""
    settings, models = tools.settings, read_models(tools.settings)
    async with AsyncExitStack() as stack:
        claims = await stack.enter_async_context(open_pool(settings, "chat", size=POOL))
        reading = await stack.enter_async_context(open_pool(settings, "api", size=POOL))
        freshness = await stack.enter_async_context(Freshness.open(settings, "chat"))
        await until_fresh(settings, freshness)
        recorded = await end_offsets(settings, (TURNS, ANSWERS))
        await freshness.wait_for_all(recorded, None)  # what has its record already is not answered again
        turns = await stack.enter_async_context(Turns.open(claims, freshness))
        providers = await stack.enter_async_context(open_providers(settings, models))
        search = await stack.enter_async_context(open_search(settings, reading))
        history = History(reading, tools.objects)
        count = Tokens.read(settings.embedder_tokenizer).count
        chat = Chat(
            limits=settings.limits,
            models=models,
            providers=providers,
            publisher=tools.publisher,
            objects=tools.objects,
            freshness=freshness,
            turns=turns,
            stops=await stack.enter_async_context(Stops.open(settings, turns)),
            places=Places(models),
            history=history,
            prepare=Prepare(settings.limits, tools.objects, turns.rights, history, providers, search, count),
            say=Say(tools.publisher, reached),
            reached=reached,
        )
        yield Pipeline(
            [
                Step(
                    TURNS,
                    on=TurnRequested,
                    handle=partial(answer_turn, chat=chat),
                    failed=partial(fail_turn, chat=chat),
                )
            ],
            db=claims,
            undecodable=partial(fail_unreadable, chat=chat),
        )
