"""/v1/turns: ask, follow, stop, look."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.datastructures import Headers

from api.accept import Command, digest_of, idempotency_key
from api.ask import UUID, Asked, Question, ask
from api.auth import Chats, admitted
from api.caller import Caller
from api.consistency import POSITION
from api.fields import Moment, Sent
from api.problems import not_found
from api.quick import plain_body, quick
from api.services import Opened, Services
from api.stream.frames import Place
from infra.postgres.pool import connection
from schemas.event import Content, uuid7
from schemas.turns import TurnStopRequested
from topics.catalogue import TURN_STOPS, TURNS

router = APIRouter(prefix="/v1", tags=["turns"])
ConversationPath = Annotated[str, Path(alias="conversation_id", pattern=UUID)]
TurnPath = Annotated[str, Path(alias="turn_id", pattern=UUID)]
IdempotencyKey = Annotated[str | None, Header(description="the same key and body: the same turn, for 24 h")]
LastEventId = Annotated[str | None, Header(description="where a reader was: attempt.seq.position")]
ENDED = ("completed", "stopped", "failed")
NEVER = re.compile(r"q=0(\.0*)?")
FOLDED_SECONDS = 2.0
LOOK_SECONDS = 0.05
ONE = """
select r.reference as turn_id, coalesce(v.conversation_id, r.record_key) as conversation_id,
  coalesce(v.asked_at, r.created_at) as asked_at, coalesce(v.model, a.model) as model, v.question, v.question_sha256,
  coalesce(a.parent_turn_id, t.parent_turn_id, v.parent_turn_id) as parent_turn_id,
  coalesce(a.status, t.status, case when t.claimed_at is null then 'queued' else 'running' end) as status,
  coalesce(a.reason, t.reason) as reason, t.stop_requested_at is not null or s.turn_id is not null as stop_requested,
  a.citations, a.passages, a.retrieved, a.provider, a.provider_model, a.prompt_tokens, a.completion_tokens, a.pieces,
  a.timings, a.recorded_at
from (select %(turn)s::text as reference, (
    select record_key from state.requests where reference = %(turn)s) as record_key, (
    select created_at from state.requests where reference = %(turn)s) as created_at) r
left join views.turns v on v.turn_id = r.reference
left join state.turns t on t.turn_id = r.reference
left join views.answers a on a.turn_id = r.reference
left join views.stops s on s.turn_id = r.reference"""


class Accepted(BaseModel):
    """A turn that will be answered, whatever happens. `events`: where to follow it."""

    turn_id: str
    conversation_id: str
    status: str
    events: str


class Turn(BaseModel):
    """A turn as it is now. `answer`: its text, once it has a record; `citations` name `passages` by number."""

    turn_id: str
    conversation_id: str
    parent_turn_id: str | None
    status: str
    reason: str | None
    stop_requested: bool
    asked_at: Moment
    recorded_at: Moment | None
    model: str | None
    provider: str | None
    provider_model: str | None
    question: str | None
    answer: str | None
    citations: list[dict[str, Any]] | None
    passages: list[dict[str, Any]] | None
    retrieved: dict[str, Any] | None
    prompt_tokens: int | None
    completion_tokens: int | None
    pieces: int | None
    timings: dict[str, Any] | None


async def ask_turn(
    conversation_id: ConversationPath,
    question: Sent[Question],
    request: Request,
    caller: Chats,
    services: Opened,
    idempotency_key_header: Annotated[IdempotencyKey, Header(alias="idempotency-key")] = None,
) -> Response:
    """Asks in a conversation. With `Accept: text/event-stream` the answer is the stream; else 202 says where it is."""
    digest = digest_of("POST", request.url.path, await request.body())
    asked = Asked(caller, idempotency_key(idempotency_key_header), digest, conversation_id)
    accepted = await ask(services, asked, question)
    turn_id = accepted.reference
    head = {
        "location": f"/v1/turns/{turn_id}",
        "x-turnlog-turn": turn_id,
        POSITION: f"{TURNS.name}/{accepted.position}",
    }
    if wants_stream(request.headers):
        return services.live.stream(caller, turn_id, Place(), head, new=not accepted.repeated)
    body = Accepted(
        turn_id=turn_id,
        conversation_id=accepted.record_key,
        status="queued",
        events=f"/v1/turns/{turn_id}/events",
    )
    return Response(body.model_dump_json(), 202, head, "application/json")


async def _ask_quickly(request: Request) -> Response | None:
    conversation_id = request.path_params["conversation_id"]
    if not re.fullmatch(UUID, conversation_id):
        return None
    caller, services = await admitted(request, "chat")
    question = await plain_body(request, Question)
    if question is None:
        return None
    key = request.headers.get("idempotency-key")
    return await ask_turn(conversation_id, question, request, caller, services, key)


router.add_api_route(
    "/conversations/{conversation_id}/turns",
    ask_turn,
    methods=["POST"],
    status_code=202,
    response_model=Accepted,
    route_class_override=quick(_ask_quickly),
)


@router.get("/turns/{turn_id}/events", response_class=Response)
async def follow_turn(
    turn_id: TurnPath,
    caller: Chats,
    services: Opened,
    last_event_id: LastEventId = None,
    last_event_id_query: Annotated[str | None, Query(alias="last_event_id")] = None,
) -> Response:
    """The answer as server-sent events, from where the reader was. Always ends with `ended`."""
    place = Place.parsed(last_event_id or last_event_id_query)
    if await services.live.look(caller, turn_id).conversation() is None:
        raise not_found(f"turn {turn_id}")
    async with connection(services.db) as db:
        await db.execute("select app.note_reader(%s)", [turn_id])
    return services.live.stream(caller, turn_id, place, {})


@router.get("/turns/{turn_id}")
async def get_turn(turn_id: TurnPath, caller: Chats, services: Opened) -> Turn:
    """One turn: what was asked, how far it is, and the whole answer when it has ended."""
    look = services.live.look(caller, turn_id)
    if await look.conversation() is None:
        raise not_found(f"turn {turn_id}")
    (row,) = await when_folded(lambda: _row(services, caller, turn_id))
    told = await look.told()
    return await _turn(services, row, told.text if told else None)


async def when_folded(read: Callable[[], Awaitable[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Rows of turns; those that are sealed have their record, too, for which the views need a moment."""
    rows, waited = await read(), 0.0
    while waited < FOLDED_SECONDS and any(row["status"] in ENDED and row["recorded_at"] is None for row in rows):
        waited += LOOK_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
        rows = await read()
    return rows


async def _row(services: Services, caller: Caller, turn_id: str) -> list[dict[str, Any]]:
    async with caller.reading(services.db) as db:
        cursor = await db.execute(ONE.encode(), {"turn": turn_id})
        row = await cursor.fetchone()
        names = [column.name for column in cursor.description or ()]
    assert row is not None
    return [dict(zip(names, row, strict=True))]


async def _turn(services: Services, row: dict[str, Any], answer: str | None) -> Turn:
    inline, sha256 = row.pop("question"), row.pop("question_sha256")
    question = None
    if inline is not None or sha256 is not None:
        content = Content(inline=inline, object_sha256=sha256, size=len(inline or b""))
        question = (await services.objects.read(content)).decode()
    return Turn(**row, question=question, answer=answer)


@router.post("/turns/{turn_id}/stop", status_code=202, response_class=Response)
async def stop_turn(turn_id: TurnPath, caller: Chats, services: Opened) -> Response:
    """Ends a turn with what it has; it is past every queue, so it works at once however long they are."""
    conversation_id = await services.live.look(caller, turn_id).conversation()
    if conversation_id is None:
        raise not_found(f"turn {turn_id}")
    position = await request_stop(services, caller, turn_id, conversation_id)
    return Response(b'{"status":"stopping"}', 202, {POSITION: position}, "application/json")


async def request_stop(
    services: Services, caller: Caller, turn_id: str, conversation_id: str, reason: str = "user"
) -> str:
    """Puts a stop on the log, then where its worker sees it at once; gives its place on the log."""
    event = TurnStopRequested(turn_id=turn_id, conversation_id=conversation_id, user_id=caller.user_id, reason=reason)
    path = f"/v1/turns/{turn_id}/stop"
    command = Command(
        owner=caller.user_id,
        key=None,
        digest=digest_of("POST", path, b""),
        reference=uuid7(),
        called="stop_id",
        topic=TURN_STOPS,
        record_key=conversation_id,
        encoded=services.publisher.encode(TURN_STOPS, event),
    )
    accepted = await services.accept.once(command)
    async with connection(services.db) as db:
        await db.execute("select app.stop_turn(%s, %s, %s)", [turn_id, conversation_id, caller.user_id])
    return f"{TURN_STOPS.name}/{accepted.position}"


def wants_stream(headers: Headers) -> bool:
    """Whether the client takes the stream: it names the type, in whichever Accept header, and not with `q=0`."""
    for named in ",".join(headers.getlist("accept")).lower().split(","):
        kind, *parameters = [part.strip() for part in named.split(";")]
        if kind == "text/event-stream":
            return not any(NEVER.fullmatch(parameter) for parameter in parameters)
    return False
