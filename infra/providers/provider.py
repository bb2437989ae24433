"""What a worker may ask of a model's server: stream an answer, and say whether the model is there."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from schemas.answers import Usage
from schemas.errors import Unavailable
from schemas.turns import Parameters

PromptFormat = Literal["text", "messages"]
OnText = Callable[[str], Awaitable[None]]


class ModelFailed(Unavailable):
    """The server is there, but the model broke this answer off: worth a few tries, not a quarter of an hour."""


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """One answer to generate.

    `prompt` is sent as it is, in the provider's `prompt_format`: UTF-8 text, or a JSON list of OpenAI messages.
    """

    turn_id: str
    model: str
    prompt: bytes
    parameters: Parameters


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How an answer ended: by itself, at its token limit, or because `stop` was called."""

    status: Literal["completed", "length", "stopped"]
    usage: Usage


class Generation(Protocol):
    """One running answer.

    The first piece goes to `on_text` at once, all later ones once a tick, joined; never twice at the same time, and
    never after `ended` returned or the context was left. What `on_text` raises comes out of `ended`.
    """

    @property
    def first_piece_at(self) -> int | None:
        """When the model's first piece came, ms since the Unix epoch."""

    @property
    def pieces(self) -> int:
        """How many pieces the model has sent."""

    def stop(self) -> None:
        """Ends the call to the model; what it sent before is still handed over, then `ended` returns `stopped`."""

    async def ended(self) -> Ended:
        """Waits for the end; all text has been handed to `on_text` then. Raises Unavailable, Refused or Invalid."""


class Provider(Protocol):
    """A server of models, by the name that models.yaml gives it."""

    @property
    def name(self) -> str:
        """Its name in models.yaml; the `server` of what it raises."""

    @property
    def prompt_format(self) -> PromptFormat:
        """The form of prompt it takes."""

    def generate(self, request: GenerateRequest, on_text: OnText) -> AbstractAsyncContextManager[Generation]:
        """Starts an answer. Leaving the context ends the call to the model, however it is left."""

    async def check(self, model: str, deadline_seconds: float) -> None:
        """Makes the model say one word; raises Unavailable, Refused or Invalid when it does not."""
