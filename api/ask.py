"""A question becomes a turn: checked, put into words of the log, accepted once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import orjson
from pydantic import Field

from api.accept import Accepted, Command
from api.caller import Caller
from api.fields import Body, CollectionId
from api.limits import check_question
from api.problems import not_found
from api.readable import check_readable
from api.services import Services
from schemas.codec import Encoded
from schemas.event import now_ms, uuid7
from schemas.turns import Label, Parameters, Retrieval, TurnRequested
from topics.catalogue import TURNS

UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class AskedRetrieval(Body):
    """What to search; what is left out the model alias decides."""

    collections: list[CollectionId] | None = Field(default=None, max_length=100)
    passages: int | None = Field(
        default=None, ge=0, le=1000, description="passages shown to the model at most; 0: no retrieval"
    )


class AskedParameters(Body):
    """Sampling; what is left out the model alias, or the model, decides."""

    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, le=2**63 - 1)
    stop: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(default=None, max_length=8)


class Question(Body):
    """A turn to ask for."""

    question: str = Field(min_length=1)
    model: str | None = Field(default=None, description="a model alias; left out: the default of models.yaml")
    parent_turn_id: str | None = Field(default=None, pattern=UUID, description="left out: the turn before this one")
    retrieval: AskedRetrieval = AskedRetrieval()
    parameters: AskedParameters = AskedParameters()
    deadline_seconds: float | None = Field(default=None, gt=0, description="after this the turn fails; at most an hour")


@dataclass(frozen=True)
class Asked:
    """Who asks, under which idempotency key, in which conversation; `digest` is the request's."""

    caller: Caller
    key: str | None
    digest: bytes
    conversation_id: str | None  # None: the turn starts one, which has its id


@dataclass(frozen=True, kw_only=True)
class Before:
    """What a client that keeps the conversation itself sends with its question."""

    messages: Sequence[tuple[str, str]]
    labels: list[Label]


async def ask(services: Services, asked: Asked, question: Question, before: Before | None = None) -> Accepted:
    """Returns when the turn is in the log; raises problems, and Invalid for a model that is not there.

    One that was asked before has no answer for anybody once its conversation is deleted: 404.
    """
    event = await turn_of(services, asked, question, before)
    encoded = services.publisher.encode(TURNS, event)
    command = Command(
        owner=asked.caller.user_id,
        key=asked.key,
        digest=asked.digest,
        reference=event.turn_id,
        called="turn_id",
        topic=TURNS,
        record_key=event.conversation_id,
        encoded=Encoded(encoded.value, [*encoded.headers, ("turn_id", event.turn_id.encode())]),
    )
    sure = services.turn_rows.is_sure(command, asked.caller, event)
    enter = partial(services.turn_rows.enter, caller=asked.caller, event=event, sure=sure)
    accepted = await (services.accept.beside if sure else services.accept.once)(command, enter)
    if accepted.repeated and await services.live.look(asked.caller, accepted.reference).conversation() is None:
        raise not_found(f"conversation {accepted.record_key}")
    return accepted


async def turn_of(services: Services, asked: Asked, question: Question, before: Before | None = None) -> TurnRequested:
    """The event, after every check that needs no lock."""
    limits, caller = services.settings.limits, asked.caller
    check_question(question.question, limits)
    alias = services.models.models.named(question.model or services.models.models.default)
    await check_readable(services, caller, question.retrieval.collections)
    now, turn_id = now_ms(), uuid7()
    seconds = min(question.deadline_seconds or limits.turn_deadline_seconds, limits.turn_deadline_seconds)
    return TurnRequested(
        occurred_at=now,
        turn_id=turn_id,
        conversation_id=asked.conversation_id or turn_id,
        user_id=caller.user_id,
        credential_id=caller.key_id,
        deadline=now + round(seconds * 1000),
        model=alias.name,
        question=await services.objects.content_of(question.question),
        parent_turn_id=question.parent_turn_id,
        retrieval=Retrieval(collections=question.retrieval.collections, passages=question.retrieval.passages),
        parameters=Parameters(**question.parameters.model_dump()),
        messages=await services.objects.content_of(orjson.dumps(before.messages)) if before else None,
        labels=before.labels if before and before.labels else None,
    )
