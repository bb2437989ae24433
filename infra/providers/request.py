"""What a generation is asked with, and what it comes to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

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


def set_parameters(parameters: Parameters) -> dict[str, object]:
    """Those that were given, by the names that OpenAI and vLLM share."""
    return {name: value for name, value in vars(parameters).items() if value is not None}
