"""turns -> answers-live, answers: a turn that cannot be answered ends in a record that says why."""

import structlog

from infra.kafka.records import NOTHING, Outputs, Received, Record
from schemas.answers import AnswerRecorded
from schemas.errors import Undecodable
from schemas.turns import TurnRequested
from streams.chat.answer_turn import Chat
from streams.chat.record import record_of_nothing
from streams.chat.turns import Claim, Sealed, Wanted
from topics.catalogue import ANSWERS

log = structlog.get_logger()
OUR_FAULT = "an internal error: it is in the log of the chat worker"


async def fail_turn(asked: Received[TurnRequested], _: Exception, chat: Chat) -> Outputs:
    """For a turn whose handler crashed as often as it may."""
    event = asked.event
    wanted = Wanted(event.turn_id, event.conversation_id, event.user_id, event.parent_turn_id, asked.offset)
    return await _fail(wanted, asked.partition, OUR_FAULT, event.occurred_at, event.model, chat)


async def fail_unreadable(record: Record, error: Undecodable, chat: Chat) -> Outputs:
    """For a record that nobody can read, but whose header names the turn."""
    turn_id = record.named_headers().get("turn_id", b"").decode("ascii", "ignore")
    if not turn_id or not record.key:
        return NOTHING
    conversation_id = record.key.decode("utf-8", "replace")
    wanted = Wanted(turn_id, conversation_id, None, None, record.offset)
    return await _fail(wanted, record.partition, f"unreadable: {error}", record.timestamp_ms, "", chat)


async def _fail(wanted: Wanted, partition: int, reason: str, asked_at: int, model: str, chat: Chat) -> Outputs:
    while True:
        claim = await chat.turns.claim_as(wanted)
        if isinstance(claim, Sealed):
            await chat.say.again(wanted.conversation_id, partition, claim)
            return NOTHING
        record = record_of_nothing(claim, reason, asked_at, model)
        sealed = await _seal(claim, record, chat)
        if sealed is not None:
            log.error("a turn failed", turn_id=wanted.turn_id, reason=reason)
            await chat.say.again(wanted.conversation_id, partition, sealed)
            return NOTHING


async def _seal(claim: Claim, record: AnswerRecorded, chat: Chat) -> Sealed | None:
    encoded = chat.publisher.encode(ANSWERS, record)
    if await chat.turns.seal(claim, record, encoded):
        return Sealed(claim.turn_id, claim.attempt, record.seq, record.length, record.status, record.reason, encoded)
    return await chat.turns.owner_known(claim.turn_id)
