"""What a worker may ask of a model's server: stream an answer, and say whether the model is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.providers.connection import Connections
from infra.providers.dialect import Dialect
from infra.providers.generation import Generation
from infra.providers.pace import Pace
from infra.providers.request import Ended, GenerateRequest, ModelFailed, OnText, PromptFormat
from schemas.errors import Unavailable
from schemas.turns import Parameters

__all__ = ["Ended", "GenerateRequest", "Generation", "ModelFailed", "OnText", "PromptFormat", "Provider"]

_READY: dict[PromptFormat, bytes] = {
    "text": b"Say one word.",
    "messages": b'[{"role":"user","content":"Say one word."}]',
}


class Provider:
    """A server of models. `name` is its name in models.yaml, and the `server` of what it raises."""

    def __init__(self, name: str, url: str, dialect: Dialect, pace: Pace) -> None:
        self.name = name
        self._dialect, self._pace = dialect, pace
        self._connections = Connections(name, url)

    @property
    def prompt_format(self) -> PromptFormat:
        """The form of prompt it takes."""
        return self._dialect.prompt_format

    @asynccontextmanager
    async def generate(self, request: GenerateRequest, on_text: OnText) -> AsyncIterator[Generation]:
        """Starts an answer. Leaving the context ends the call to the model, however it is left."""
        connection = await self._connections.take()
        generation = Generation(self.name, self._dialect, self._pace, connection, on_text)
        self._pace.add(generation)
        try:
            generation.begin(request)
            yield generation
        finally:
            generation.close()
            self._connections.give_back(connection)

    async def check(self, model: str, deadline_seconds: float) -> None:
        """Makes the model say one word; raises Unavailable, Refused or Invalid when it does not."""
        asked = GenerateRequest(
            turn_id="", model=model, prompt=_READY[self.prompt_format], parameters=Parameters(max_tokens=1)
        )
        try:
            async with asyncio.timeout(deadline_seconds):
                async with self.generate(asked, _ignore) as generation:
                    await generation.ended()
        except TimeoutError as exc:
            raise Unavailable(self.name, f"no word from {model} in {deadline_seconds:g} s") from exc

    def close(self) -> None:
        """Closes idle connections."""
        self._connections.close()


async def _ignore(_text: str) -> None:
    return None
