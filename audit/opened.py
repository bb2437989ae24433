"""A replay: what was chosen, found on the log, told in lines; words only for a reading that says why."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from audit.choice import Choice
from audit.find import Finder, Found, Heard
from audit.story import Line, lines_of
from audit.words import Prompt, Reading
from infra.kafka.log import SECONDS, Log
from infra.kafka.publisher import Publisher
from infra.objects import Objects
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from schemas.errors import Invalid, Unavailable
from topics.catalogue import AUDIT_ACCESSES


@dataclass(frozen=True)
class Told:
    """The lines, the words of some by their number, and what was found for them."""

    lines: list[Line]
    words: dict[int, dict[str, str]]
    found: Found


class Replay:
    """The log, the objects and, for those who show words, a publisher that says why."""

    def __init__(self, settings: Settings, codec: Codec, objects: Objects, publisher: Publisher | None) -> None:
        self._settings, self._codec, self._objects, self._publisher = settings, codec, objects, publisher

    async def told(
        self, choice: Choice, reading: Reading | None = None, *, heard: Heard | None = None, most: int | None = None
    ) -> Told:
        """What happened; raises Unavailable, or Invalid for more than `most` records to look at."""
        found = await choice.find(Finder(Log(self._settings), self._codec, heard, most))
        lines = lines_of(found.entries)
        words = await reading.words(lines, self._says(), self._objects) if reading is not None and lines else {}
        return Told(lines, words, found)

    async def prompt(self, choice: Choice, reading: Reading) -> Prompt | None:
        """The exact input of a turn's model, None when the log holds no answer; raises Invalid or Unavailable."""
        told = await self.told(choice)
        recorded = next((line for line in told.lines if line.event == "AnswerRecorded"), None)
        return None if recorded is None else await reading.prompt(recorded, self._says(), self._objects)

    def _says(self) -> Publisher:
        if self._publisher is None:
            raise Invalid("words are shown only where the reason can be said")
        return self._publisher


@asynccontextmanager
async def open_replay(settings: Settings, *, words: bool) -> AsyncIterator[Replay]:
    """Without words no server is asked anything yet; with them, raises Unavailable: somebody sits there and waits."""
    async with AsyncExitStack() as stack:
        registry = RegistryClient(settings)
        stack.push_async_callback(registry.close)
        codec, publisher = Codec(registry), None
        if words:
            await Log(settings).spans(AUDIT_ACCESSES, keys=())  # is the broker there? The publisher would wait for it
            async with _soon("registry"):
                await registry.load((AUDIT_ACCESSES,))
            async with _soon("kafka"):
                publisher = await stack.enter_async_context(Publisher.open(settings, codec))
        yield Replay(settings, codec, Objects.open(settings), publisher)


@asynccontextmanager
async def _soon(server: str) -> AsyncIterator[None]:
    """Ends what would wait for a server for as long as it is away."""
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except TimeoutError as exc:
        raise Unavailable(server, f"it said nothing for {SECONDS:.0f} s") from exc
