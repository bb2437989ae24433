"""turns, turn-stops, answers, conversation-changes -> views.conversations, turns, stops, answers: the history."""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from infra.kafka.records import Received
from infra.postgres.moment import moment
from infra.postgres.pool import Connection
from schemas.answers import AnswerRecorded
from schemas.codec import plain
from schemas.conversations import ConversationDeleted, ConversationStarted
from schemas.turns import TurnRequested, TurnStopRequested

# One record may come twice, and of two records of one turn the first on its partition counts.
TURN = """
insert into turns as kept (turn_id, conversation_id, user_id, asked_at, deadline, model, question,
  question_sha256, parent_turn_id, "partition", "offset")
values (%(turn_id)s, %(conversation_id)s, %(user_id)s, %(asked_at)s, %(deadline)s, %(model)s, %(question)s,
  %(question_sha256)s, %(parent_turn_id)s, %(partition)s, %(offset)s)
on conflict (turn_id) do update set conversation_id = excluded.conversation_id, user_id = excluded.user_id,
  asked_at = excluded.asked_at, deadline = excluded.deadline, model = excluded.model, question = excluded.question,
  question_sha256 = excluded.question_sha256, parent_turn_id = excluded.parent_turn_id,
  "partition" = excluded."partition", "offset" = excluded."offset"
where excluded."offset" < kept."offset\""""
TURNED = """
insert into conversations as kept (conversation_id, user_id, turned_at)
values (%(conversation_id)s, %(user_id)s, %(asked_at)s)
on conflict (conversation_id) do update set turned_at = greatest(kept.turned_at, excluded.turned_at)
where kept.turned_at is null or kept.turned_at < excluded.turned_at"""
STARTED = """
insert into conversations as kept (conversation_id, user_id, started_at, started_offset, title)
values (%(conversation_id)s, %(user_id)s, %(at)s, %(offset)s, %(title)s)
on conflict (conversation_id) do update set user_id = excluded.user_id, started_at = excluded.started_at,
  started_offset = excluded.started_offset, title = excluded.title
where kept.started_offset is null or excluded.started_offset < kept.started_offset"""
DELETED = """
insert into conversations as kept (conversation_id, user_id, deleted_at, deleted_offset)
values (%(conversation_id)s, %(user_id)s, %(at)s, %(offset)s)
on conflict (conversation_id) do update set deleted_at = excluded.deleted_at, deleted_offset = excluded.deleted_offset
where kept.deleted_offset is null or excluded.deleted_offset < kept.deleted_offset"""
STOP = """
insert into stops as kept (turn_id, user_id, reason, requested_at, "offset")
values (%(turn_id)s, %(user_id)s, %(reason)s, %(at)s, %(offset)s)
on conflict (turn_id) do update set user_id = excluded.user_id, reason = excluded.reason,
  requested_at = excluded.requested_at, "offset" = excluded."offset"
where excluded."offset" < kept."offset\""""
ANSWER = """
insert into answers as kept (turn_id, conversation_id, attempt, seq, status, reason, parent_turn_id, "text",
  text_sha256, length, citations, passages, retrieved, events, model, provider, provider_model, prompt_tokens,
  completion_tokens, pieces, timings, recorded_at, "partition", "offset")
values (%(turn_id)s, %(conversation_id)s, %(attempt)s, %(seq)s, %(status)s, %(reason)s, %(parent_turn_id)s, %(text)s,
  %(text_sha256)s, %(length)s, %(citations)s, %(passages)s, %(retrieved)s, %(events)s, %(model)s, %(provider)s,
  %(provider_model)s, %(prompt_tokens)s, %(completion_tokens)s, %(pieces)s, %(timings)s, %(recorded_at)s,
  %(partition)s, %(offset)s)
on conflict (turn_id) do update set conversation_id = excluded.conversation_id, attempt = excluded.attempt,
  seq = excluded.seq, status = excluded.status, reason = excluded.reason, parent_turn_id = excluded.parent_turn_id,
  "text" = excluded."text", text_sha256 = excluded.text_sha256, length = excluded.length,
  citations = excluded.citations, passages = excluded.passages, retrieved = excluded.retrieved,
  events = excluded.events, model = excluded.model, provider = excluded.provider,
  provider_model = excluded.provider_model, prompt_tokens = excluded.prompt_tokens,
  completion_tokens = excluded.completion_tokens, pieces = excluded.pieces, timings = excluded.timings,
  recorded_at = excluded.recorded_at, "partition" = excluded."partition", "offset" = excluded."offset"
where excluded."offset" < kept."offset\""""


async def fold_turns(db: Connection, received: Sequence[Received[TurnRequested]]) -> None:
    """Folds `turns`; a turn alone starts a conversation, too."""
    rows = [_turn(record) for record in received]
    async with db.cursor() as cursor:
        await cursor.executemany(TURN.encode(), rows)
        await cursor.executemany(TURNED.encode(), rows)


async def fold_stops(db: Connection, received: Sequence[Received[TurnStopRequested]]) -> None:
    """Folds `turn-stops`."""
    rows = [vars(r.event) | {"at": moment(r.event.occurred_at), "offset": r.offset} for r in received]
    async with db.cursor() as cursor:
        await cursor.executemany(STOP.encode(), rows)


async def fold_answers(db: Connection, received: Sequence[Received[AnswerRecorded]]) -> None:
    """Folds `answers`: of a turn the first record."""
    async with db.cursor() as cursor:
        await cursor.executemany(ANSWER.encode(), [_answer(record) for record in received])


async def fold_conversations(
    db: Connection, received: Sequence[Received[ConversationStarted | ConversationDeleted]]
) -> None:
    """Folds `conversation-changes`; a deleted conversation stays as a tombstone."""
    async with db.cursor() as cursor:
        for record in received:
            event = record.event
            row = {
                "conversation_id": event.conversation_id,
                "user_id": event.user_id,
                "at": moment(event.occurred_at),
                "offset": record.offset,
            }
            if isinstance(event, ConversationStarted):
                await cursor.execute(STARTED.encode(), row | {"title": event.title.inline if event.title else None})
            else:
                await cursor.execute(DELETED.encode(), row)


def _turn(record: Received[TurnRequested]) -> dict[str, Any]:
    event = record.event
    return {
        "turn_id": event.turn_id,
        "conversation_id": event.conversation_id,
        "user_id": event.user_id,
        "asked_at": moment(event.occurred_at),
        "deadline": moment(event.deadline),
        "model": event.model,
        "question": event.question.inline,
        "question_sha256": event.question.object_sha256,
        "parent_turn_id": event.parent_turn_id,
        "partition": record.partition,
        "offset": record.offset,
    }


def _answer(record: Received[AnswerRecorded]) -> dict[str, Any]:
    event = record.event
    return vars(event) | {
        "text": event.text.inline,
        "text_sha256": event.text.object_sha256,
        "citations": Jsonb(plain(event.citations)),
        "passages": Jsonb(plain(event.passages)),
        "retrieved": Jsonb(_retrieved(event)),
        "events": Jsonb(plain(event.events)),
        "timings": Jsonb(plain(event.timings)),
        "prompt_tokens": event.usage.prompt_tokens,
        "completion_tokens": event.usage.completion_tokens,
        "pieces": event.usage.pieces,
        "recorded_at": moment(event.occurred_at),
        "partition": record.partition,
        "offset": record.offset,
    }


def _retrieved(event: AnswerRecorded) -> Any:
    """What the search came to, without the bytes of the query: the view is for reading, the log for proof."""
    found = event.retrieved
    if found is None:
        return None
    return {"hits": found.hits, "walled": found.walled, "returned": found.returned, "incomplete": found.incomplete}
