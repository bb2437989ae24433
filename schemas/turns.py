"""What people ask for: a turn, and its stop."""

from dataclasses import dataclass
from typing import Annotated

from schemas.event import Content, Doc, Event


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """How a turn looks for passages; null fields mean the model alias decides."""

    collections: Annotated[list[str] | None, Doc("collection ids to search; null: what the alias says")] = None
    passages: Annotated[
        int | None, Doc("passages shown to the model at most; 0: no retrieval; null: what the alias says")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Sampling parameters, as asked for; null fields are left to the model."""

    max_tokens: Annotated[int | None, Doc("tokens to generate at most")] = None
    temperature: Annotated[float | None, Doc("sampling temperature, 0 to 2")] = None
    top_p: Annotated[float | None, Doc("nucleus sampling, 0 to 1")] = None
    seed: Annotated[int | None, Doc("seed of the sampler")] = None
    stop: Annotated[list[str] | None, Doc("texts that end the answer")] = None


@dataclass(frozen=True, kw_only=True)
class Label:
    """A word of the client's own about a turn."""

    name: Annotated[str, Doc("its name, at most 64 characters")]
    value: Annotated[str, Doc("its value, at most 512 characters")]


class TurnRequested(Event):
    """Somebody asked something, and was told that it is accepted."""

    turn_id: Annotated[str, Doc("UUIDv7 of the turn")]
    conversation_id: Annotated[str, Doc("UUIDv7 of the conversation; the record's key")]
    user_id: Annotated[str, Doc("who asks: the user that owns the conversation")]
    credential_id: Annotated[str | None, Doc("the API key that was used, by its id")] = None
    deadline: Annotated[int, Doc("after this the turn fails, ms since the Unix epoch")]
    model: Annotated[str, Doc("model alias of models.yaml")]
    question: Annotated[Content, Doc("the question, UTF-8 text of at most 32k characters")]
    parent_turn_id: Annotated[str | None, Doc("the turn this one follows, if the client named one")] = None
    retrieval: Annotated[Retrieval, Doc("what to search")]
    parameters: Annotated[Parameters, Doc("sampling parameters asked for")]
    messages: Annotated[
        Content | None, Doc("what was said before, JSON [[role, text], ..]; null: earlier turns of the conversation")
    ] = None
    labels: Annotated[list[Label] | None, Doc("what the client says about the turn, for whoever reads the log")] = None


class TurnStopRequested(Event):
    """Somebody wants a turn to end with what it has."""

    turn_id: Annotated[str, Doc("the turn to stop")]
    conversation_id: Annotated[str, Doc("its conversation; the record's key")]
    user_id: Annotated[str, Doc("who asked for the stop")]
    reason: Annotated[str, Doc("user, reader-gone or shutdown")]
