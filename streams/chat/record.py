"""The one record of a turn: what the model was shown, what it said, and with which rights."""

from dataclasses import replace

from infra.kafka.publisher import Publisher
from infra.objects import Objects
from schemas.answers import AnswerRecorded, Timings, Usage
from schemas.codec import Encoded
from schemas.errors import Invalid
from schemas.event import Content, now_ms
from schemas.turns import Parameters
from streams.chat.attempt import Attempt, Outcome
from streams.chat.turns import Claim
from topics.catalogue import ANSWERS

TOO_LARGE = (
    "the answer's record is too large: its text and prompt are kept, its citations and the passages' titles are not"
)


async def record_of(attempt: Attempt, outcome: Outcome, objects: Objects) -> AnswerRecorded:
    """Everything an attempt came to; raises Unavailable (objects) when long words cannot be stored."""
    stream, prompt, alias = attempt.stream, attempt.prompt, attempt.alias
    return AnswerRecorded(
        turn_id=attempt.claim.turn_id,
        conversation_id=attempt.claim.conversation_id,
        attempt=attempt.claim.attempt,
        seq=stream.seq + 1,
        status=outcome.status,
        reason=outcome.reason and outcome.reason.replace("\0", "\ufffd"),  # a provider's words; Postgres holds no NUL
        parent_turn_id=attempt.claim.parent_turn_id,
        text=await objects.content_of(stream.text),
        length=stream.position,
        citations=attempt.citations,
        passages=attempt.passages,
        retrieved=attempt.retrieved,
        prompt=await objects.content_of(prompt.sent if prompt else b""),
        prompt_format=prompt.format if prompt else "text",
        model=attempt.event.model,
        provider=alias.provider if alias else "",
        provider_model=alias.model if alias else "",
        parameters=attempt.parameters,
        permissions=attempt.permissions,
        usage=attempt.usage,
        timings=Timings(
            requested_at=attempt.event.occurred_at,
            claimed_at=attempt.claim.claimed_at,
            retrieved_at=attempt.retrieved_at,
            first_piece_at=attempt.first_piece_at,
            ended_at=now_ms(),
        ),
        events=stream.events,
    )


async def fitting(record: AnswerRecorded, publisher: Publisher, objects: Objects) -> tuple[AnswerRecorded, Encoded]:
    """A record and its bytes, within the limit: checked before it is sealed, because after that nothing can change."""
    try:
        return record, publisher.encode(ANSWERS, record)
    except Invalid:
        moved = await _moved(record, objects)
    try:
        return moved, publisher.encode(ANSWERS, moved)
    except Invalid:
        passages = [replace(passage, title=None, heading=[]) for passage in moved.passages]
        cut = _with(moved, status="failed", reason=TOO_LARGE, citations=[], events=[], passages=passages)
        return cut, publisher.encode(ANSWERS, cut)


async def _moved(record: AnswerRecorded, objects: Objects) -> AnswerRecorded:
    """The same record, its long words in object storage."""
    return _with(record, text=await _as_object(record.text, objects), prompt=await _as_object(record.prompt, objects))


async def _as_object(content: Content, objects: Objects) -> Content:
    if content.inline is None or not content.size:
        return content
    return Content(object_sha256=await objects.put(content.inline), size=content.size)


def _with(record: AnswerRecorded, **changes: object) -> AnswerRecorded:
    return AnswerRecorded(**(vars(record) | changes))


def record_of_nothing(claim: Claim, reason: str, asked_at: int, model: str) -> AnswerRecorded:
    """The record of a turn that could not even be begun."""
    now = now_ms()
    return AnswerRecorded(
        turn_id=claim.turn_id,
        conversation_id=claim.conversation_id,
        attempt=claim.attempt,
        seq=1,
        status="failed",
        reason=reason,
        parent_turn_id=claim.parent_turn_id,
        text=Content.of(""),
        length=0,
        citations=[],
        passages=[],
        retrieved=None,
        prompt=Content.of(""),
        prompt_format="text",
        model=model,
        provider="",
        provider_model="",
        parameters=Parameters(),
        permissions=None,
        usage=Usage(),
        timings=Timings(requested_at=asked_at, claimed_at=claim.claimed_at, ended_at=now),
        events=[],
    )
