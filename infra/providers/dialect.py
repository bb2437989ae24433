"""How one kind of server is asked, and how its events read; all else about streaming is the same for all kinds."""

from dataclasses import dataclass
from typing import Literal, Protocol

from infra.providers.request import GenerateRequest, PromptFormat


@dataclass
class Said:
    """What the events of one answer have said beside its text."""

    finish: Literal["completed", "length"] | None = None
    done: bool = False  # nothing follows, also when the body goes on
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Dialect(Protocol):
    """A kind of server. What it raises carries the provider's name."""

    prompt_format: PromptFormat
    says_that_it_ended: bool

    def request(self, asked: GenerateRequest) -> bytes:
        """The whole HTTP request."""

    def read(self, data: bytes, said: Said) -> str:
        """The text of one event, often empty; the rest goes to `said`. Raises ModelFailed, Refused, Invalid."""

    def problem(self, status: int, body: bytes) -> Exception:
        """What a response other than 200 means."""
