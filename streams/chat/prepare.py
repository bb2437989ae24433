"""What a model will be shown: the question, the turns before it, the passages that its asker may read."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from infra.objects import Objects
from infra.providers.provider import Provider
from infra.settings import Limits
from schemas.answers import Retrieved, ShownPassage
from schemas.event import now_ms
from schemas.turns import TurnRequested
from streams.chat.attempt import Attempt
from streams.chat.history import History
from streams.chat.prompt import Asked, Count, Earlier, Quoted, build
from streams.chat.rights import Rights

SHORT_CHARACTERS = 60  # "And in Spain?" means nothing to a search without the question before it


@dataclass(frozen=True, kw_only=True)
class Look:
    """What to search for, whose rights count, and where: `collections` None means all that the user may read."""

    query: str
    user_id: str
    principals: Sequence[str]
    collections: tuple[str, ...] | None
    passages: int


@dataclass(frozen=True)
class Passage:
    """A passage that was found: its words for the prompt, and where it stands for the record."""

    quoted: Quoted
    shown: ShownPassage


@dataclass(frozen=True)
class Found:
    """What a search came to, best first."""

    passages: Sequence[Passage]
    retrieved: Retrieved


RightsOf = Callable[[str, str], Awaitable[Rights]]
Search = Callable[[Look], Awaitable[Found]]


class Prepare:
    """Makes the prompt of an attempt, and says which passages stand in it."""

    def __init__(
        self,
        limits: Limits,
        objects: Objects,
        rights_of: RightsOf,
        history: History,
        providers: Mapping[str, Provider],
        search: Search,
        count: Count,
    ) -> None:
        self._limits, self._objects, self._rights_of, self._history = limits, objects, rights_of, history
        self._providers, self._search, self._count = providers, search, count

    def passages(self, attempt: Attempt) -> int:
        """How many passages may be shown; 0: none are looked for."""
        asked = attempt.event.retrieval.passages
        most = attempt.alias.passages if attempt.alias and asked is None else asked or 0
        return min(most, self._limits.passages)

    async def __call__(self, attempt: Attempt) -> None:
        """Fills in what the attempt shows its model; raises Unavailable, Refused or Invalid."""
        event, claim, alias = attempt.event, attempt.claim, attempt.alias
        assert alias is not None
        rights, attempt.rights = attempt.rights, None
        rights = rights or await self._rights_of(event.user_id, event.conversation_id)
        attempt.permissions = rights.of(event.user_id)
        attempt.question = (await self._objects.read(event.question)).decode()
        earlier = await self._history.before(event.user_id, event.conversation_id, claim.parent_turn_id)
        messages = await self._messages(event)
        found = None
        if most := self.passages(attempt):
            collections = event.retrieval.collections
            found = await self._search(
                Look(
                    query=query_of(attempt.question, _question_before(earlier, messages)),
                    user_id=event.user_id,
                    principals=attempt.permissions.principals,
                    collections=alias.collections if collections is None else tuple(collections),
                    passages=most,
                )
            )
        quoted = None if found is None else [passage.quoted for passage in found.passages[:most]]
        asked = Asked(question=attempt.question, earlier=earlier, passages=quoted, messages=messages)
        prompt = build(asked, self._providers[alias.provider].prompt_format, self._count, self._limits)
        if found is not None:
            await self._show(attempt, found, prompt.shown)
        attempt.prompt = prompt

    async def _messages(self, event: TurnRequested) -> list[tuple[str, str]] | None:
        """What a client that keeps the conversation itself sent before its question."""
        if event.messages is None:
            return None
        return [(role, text) for role, text in json.loads(await self._objects.read(event.messages))]

    async def _show(self, attempt: Attempt, found: Found, shown: Sequence[int]) -> None:
        attempt.retrieved_at = now_ms()
        attempt.passages = [
            replace(found.passages[index].shown, number=number) for number, index in enumerate(shown, start=1)
        ]
        attempt.retrieved = found.retrieved
        await attempt.stream.retrieved(attempt.passages, found.retrieved)


def query_of(question: str, before: str | None) -> str:
    """What is searched for: the question, a short one together with the question before it."""
    return f"{before}\n{question}" if before and len(question) <= SHORT_CHARACTERS else question


def _question_before(earlier: Sequence[Earlier], messages: Sequence[tuple[str, str]] | None) -> str | None:
    asked = [turn.question for turn in earlier] or [text for role, text in messages or () if role == "user"]
    return asked[-1] if asked else None
