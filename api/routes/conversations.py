"""/v1/conversations: start, list, read, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api.accept import Command, digest_of, idempotency_key
from api.auth import Chats
from api.consistency import POSITION, write
from api.fields import Body, Moment, Paged, Sent
from api.problems import not_found
from api.routes.turns import ConversationPath, IdempotencyKey, when_folded
from api.services import Opened, Services
from infra.postgres.pool import Connection
from schemas.conversations import ConversationDeleted, ConversationStarted
from schemas.event import Content, uuid7
from topics.catalogue import CONVERSATION_CHANGES

router = APIRouter(prefix="/v1/conversations", tags=["turns"])
TITLE_CHARACTERS = 80
# Not folded yet is no reason not to be there: a conversation's request is known on every replica at once.
ONE = """
select conversation_id, coalesce(started_at, turned_at) as started_at, turned_at, title from views.conversations
where conversation_id = %(conversation)s and deleted_offset is null
union all
select reference, created_at, null, null from state.requests r
where r.reference = %(conversation)s and r.record_key = r.reference and r.topic in ('conversation-changes', 'turns')
  and not exists (select 1 from views.conversations c where c.conversation_id = %(conversation)s)"""
MANY = """
select conversation_id, coalesce(started_at, turned_at) as started_at, turned_at, title from views.conversations
where user_id = app.user_id() and deleted_offset is null
  and (%(cursor)s = '' or conversation_id < %(cursor)s)
order by conversation_id desc limit %(limit)s"""
FIRST_QUESTIONS = """
select distinct on (conversation_id) conversation_id, question from views.turns
where conversation_id = any(%s) order by conversation_id, "offset\""""
TURNS = """
select v.turn_id, coalesce(a.parent_turn_id, t.parent_turn_id, v.parent_turn_id) as parent_turn_id, v.asked_at, v.model,
  v.question, v.question_sha256, a."text", a.text_sha256, coalesce(a.reason, t.reason) as reason,
  coalesce(a.status, t.status, case when t.claimed_at is null then 'queued' else 'running' end) as status,
  a.citations, a.passages, a.recorded_at
from views.turns v left join state.turns t using (turn_id) left join views.answers a using (turn_id)
where v.conversation_id = %(conversation)s and v."offset" > %(after)s order by v."offset" limit %(limit)s"""


class NewConversation(Body):
    """A conversation to start."""

    title: str | None = Field(default=None, min_length=1, max_length=200)


class Conversation(BaseModel):
    """A conversation. `title`: as given, else the beginning of its first question."""

    conversation_id: str
    title: str | None
    started_at: Moment | None
    turned_at: Moment | None


class TurnSaid(BaseModel):
    """A turn in a conversation. `answer` null: it has no record yet."""

    turn_id: str
    parent_turn_id: str | None
    status: str
    reason: str | None
    asked_at: Moment
    recorded_at: Moment | None
    model: str
    question: str
    answer: str | None
    citations: list[dict[str, Any]] | None
    passages: list[dict[str, Any]] | None


class ConversationWithTurns(Conversation):
    """A conversation and its turns, in the order of the log; `parent_turn_id` makes them a tree."""

    turns: list[TurnSaid]


@router.post("", status_code=201, response_model=Conversation)
async def start_conversation(
    new: Sent[NewConversation],
    request: Request,
    caller: Chats,
    services: Opened,
    idempotency_key_header: Annotated[IdempotencyKey, Header(alias="idempotency-key")] = None,
) -> Response:
    """Starts a conversation; turns can be asked in it at once, on any replica."""
    title = Content.of(new.title) if new.title else None
    event = ConversationStarted(conversation_id=uuid7(), user_id=caller.user_id, title=title)
    accepted = await services.accept.once(
        Command(
            owner=caller.user_id,
            key=idempotency_key(idempotency_key_header),
            digest=digest_of("POST", request.url.path, await request.body()),
            reference=event.conversation_id,
            called="conversation_id",
            topic=CONVERSATION_CHANGES,
            record_key=event.conversation_id,
            encoded=services.publisher.encode(CONVERSATION_CHANGES, event),
        )
    )
    made = Conversation(conversation_id=accepted.reference, title=new.title, started_at=None, turned_at=None)
    head = {
        "location": f"/v1/conversations/{accepted.reference}",
        POSITION: f"{CONVERSATION_CHANGES.name}/{accepted.position}",
    }
    return Response(made.model_dump_json(), 201, head, "application/json")


@router.get("")
async def list_conversations(caller: Chats, services: Opened, paged: Paged) -> list[Conversation]:
    """One's conversations, the newest first; `cursor` is the last id of the page before."""
    async with caller.reading(services.db) as db:
        found = await _rows(db, MANY, paged.model_dump())
        return await _titled(db, found)


@router.get("/{conversation_id}")
async def get_conversation(
    conversation_id: ConversationPath, caller: Chats, services: Opened, paged: Paged
) -> ConversationWithTurns:
    """One conversation with its turns; `cursor` is the last turn's id of the page before."""
    async with caller.reading(services.db) as db:
        found = await _titled(db, await _rows(db, ONE, {"conversation": conversation_id}))
        if not found:
            raise not_found(f"conversation {conversation_id}")
        after = await _offset_of(db, conversation_id, paged.cursor)
    args = {"conversation": conversation_id, "after": after, "limit": paged.limit}

    async def read() -> list[dict[str, Any]]:
        async with caller.reading(services.db) as db:
            return await _rows(db, TURNS, args)

    said = [await _said(services, turn) for turn in await when_folded(read)]
    return ConversationWithTurns(**found[0].model_dump(), turns=said)


@router.delete("/{conversation_id}", status_code=204)
async def delete_conversation(conversation_id: ConversationPath, caller: Chats, services: Opened) -> Response:
    """Deletes a conversation and stops what runs in it; its events stay in the log, for audit."""
    async with caller.reading(services.db) as db:
        if not await _rows(db, ONE, {"conversation": conversation_id}):
            raise not_found(f"conversation {conversation_id}")
    event = ConversationDeleted(conversation_id=conversation_id, user_id=caller.user_id)
    return (await write(services, CONVERSATION_CHANGES, conversation_id, event)).answer()


async def _rows(db: Connection, query: str, args: dict[str, Any]) -> list[dict[str, Any]]:
    cursor = await db.execute(query.encode(), args)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


async def _titled(db: Connection, found: list[dict[str, Any]]) -> list[Conversation]:
    untitled = [row["conversation_id"] for row in found if row["title"] is None]
    asked = await (await db.execute(FIRST_QUESTIONS.encode(), [untitled])).fetchall() if untitled else []
    questions: dict[str, bytes | None] = dict(asked)
    return [
        Conversation(**row | {"title": _title(row["title"], questions.get(row["conversation_id"]))}) for row in found
    ]


def _title(given: bytes | None, question: bytes | None) -> str | None:
    if given is not None:
        return given.decode()
    if question is None:
        return None
    line = " ".join(question.decode().split())
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1] + "\u2026"


async def _offset_of(db: Connection, conversation_id: str, turn_id: str) -> int:
    if not turn_id:
        return -1
    query = 'select "offset" from views.turns where turn_id = %s and conversation_id = %s'
    row = await (await db.execute(query, [turn_id, conversation_id])).fetchone()
    if row is None:
        raise not_found(f"turn {turn_id} in this conversation")
    return int(row[0])


async def _said(services: Services, row: dict[str, Any]) -> TurnSaid:
    question = await _words(services, row.pop("question"), row.pop("question_sha256"))
    answer = await _words(services, row.pop("text"), row.pop("text_sha256"))
    return TurnSaid(**row, question=question or "", answer=answer)


async def _words(services: Services, inline: bytes | None, sha256: str | None) -> str | None:
    if inline is None and sha256 is None:
        return None
    content = Content(inline=inline, object_sha256=sha256, size=len(inline or b""))
    return (await services.objects.read(content)).decode()
