"""Asks a provider and keeps what comes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from infra.providers.provider import Ended, GenerateRequest, Generation, Provider
from schemas.event import uuid7
from schemas.turns import Parameters


@dataclass
class Heard:
    """The texts handed over so far."""

    texts: list[str] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_text(self, text: str) -> None:
        """What a worker would send on."""
        self.texts.append(text)
        self.came.set()

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.texts)


def request(
    provider: Provider, model: str, question: str, *, turn_id: str = "", max_tokens: int | None = None
) -> GenerateRequest:
    """A question without a frame, in the provider's format."""
    messages = [{"role": "user", "content": question}]
    prompt = question if provider.prompt_format == "text" else json.dumps(messages)
    return GenerateRequest(
        turn_id=turn_id or uuid7(), model=model, prompt=prompt.encode(), parameters=Parameters(max_tokens=max_tokens)
    )


async def answer(provider: Provider, model: str, question: str, *, max_tokens: int | None = None) -> tuple[str, Ended]:
    """The whole answer, and how it ended."""
    async with started(provider, request(provider, model, question, max_tokens=max_tokens)) as (generation, heard):
        return await waited(generation, heard)


async def waited(generation: Generation, heard: Heard) -> tuple[str, Ended]:
    """The end of a generation, and all that was heard of it."""
    ended = await generation.ended()
    return heard.text, ended


@asynccontextmanager
async def started(provider: Provider, asked: GenerateRequest) -> AsyncIterator[tuple[Generation, Heard]]:
    """A running generation."""
    heard = Heard()
    async with asyncio.timeout(60), provider.generate(asked, heard.on_text) as generation:
        yield generation, heard


async def first_text(heard: Heard) -> str:
    """Waits until something was handed over."""
    async with asyncio.timeout(30):
        await heard.came.wait()
    return heard.texts[0]
