"""One attempt at an answer: what is known of it so far, for its stream and its record."""

from dataclasses import dataclass, field

from infra.kafka.records import Received
from infra.models import Alias
from schemas.answers import Citation, Permissions, Retrieved, ShownPassage, Usage
from schemas.turns import Parameters, TurnRequested
from streams.chat.live_stream import LiveStream
from streams.chat.prompt import Prompt
from streams.chat.rights import Rights
from streams.chat.turns import Claim


@dataclass
class Attempt:
    """Grows while the attempt runs. `alias` None: the model asked for is no more."""

    asked: Received[TurnRequested]
    claim: Claim
    alias: Alias | None
    stream: LiveStream
    rights: Rights | None  # as the claim found them; None: they were used, so ask anew
    question: str = ""
    parameters: Parameters = field(default_factory=Parameters)
    permissions: Permissions | None = None
    retrieved: Retrieved | None = None
    passages: list[ShownPassage] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    prompt: Prompt | None = None
    usage: Usage = field(default_factory=Usage)
    retrieved_at: int | None = None
    first_piece_at: int | None = None

    @property
    def event(self) -> TurnRequested:
        """What was asked."""
        return self.asked.event


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: completed, stopped or failed, and why."""

    status: str
    reason: str | None = None
