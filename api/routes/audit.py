"""/v1/audit: what the log says of a turn, a conversation, a user, a document; for keys with the scope `audit`."""

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel

from api.auth import Audits
from api.caller import Caller
from api.fields import CollectionPath, UserPath
from api.problems import not_found
from api.routes.documents import DocumentPath
from api.services import Opened, Services
from audit.choice import Choice, moment_of
from audit.opened import Replay
from audit.story import as_json
from audit.words import Reading

router = APIRouter(prefix="/v1/audit", tags=["audit"])
AT_ONCE = 2  # replays a replica runs side by side: each reads megabytes
MOST = 1_000_000  # records one request may look at
RUNNING = asyncio.Semaphore(AT_ONCE)

Reason = Annotated[
    str | None, Query(description="show people's words, too; why is noted on the log for ever", max_length=1000)
]
Why = Annotated[str, Query(alias="reason", description="noted on the log for ever", max_length=1000)]
Since = Annotated[str | None, Query(alias="from", description="2026-03-01T09:30 (UTC), or 2h for two hours ago")]
Begin = Annotated[str, Query(alias="from", description="2026-03-01T09:30 (UTC), or 2h for two hours ago")]
Until = Annotated[str | None, Query(alias="to")]
ID = r"^[0-9a-zA-Z-]{1,64}$"
TurnPath = Annotated[str, Path(alias="turn_id", pattern=ID)]
ConversationPath = Annotated[str, Path(alias="conversation_id", pattern=ID)]


class Line(BaseModel):
    """What happened. `place`: topic/partition:offset; `words` only with a reason."""

    time: str
    at_ms: int
    place: str
    event: str
    says: str
    turn_id: str | None
    details: dict[str, Any]
    words: dict[str, str] | None = None


class Story(BaseModel):
    """The lines in order of time, and how many records were looked at for them."""

    lines: list[Line]
    records_read: int


@router.get("/turns/{turn_id}", response_model=Story)
async def replay_turn(turn_id: TurnPath, caller: Audits, services: Opened, reason: Reason = None) -> Response:
    """A turn: asked, searched, shown, answered, stopped, and by whom its words were read since."""
    return await _told(caller, services, reason, turn=turn_id)


@router.get("/turns/{turn_id}/prompt", response_class=Response)
async def replay_prompt(turn_id: TurnPath, caller: Audits, services: Opened, reason: Why) -> Response:
    """The exact bytes that the model of a turn was sent."""
    choice = _choice(turn=turn_id)
    reading = Reading(caller.user_id, "api", choice.said, reason)
    async with RUNNING:
        found = await _replay(services).prompt(choice, reading)
    if found is None:
        raise not_found(f"answer of turn {turn_id} on the log")
    return Response(found.content, media_type="application/octet-stream")


@router.get("/conversations/{conversation_id}", response_model=Story)
async def replay_conversation(
    conversation_id: ConversationPath, caller: Audits, services: Opened, reason: Reason = None
) -> Response:
    """All turns of a conversation, deleted or not."""
    return await _told(caller, services, reason, conversation=conversation_id)


@router.get("/users/{user_id}", response_model=Story)
async def replay_user(
    user_id: UserPath,
    caller: Audits,
    services: Opened,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """What a user asked in some time, and what was changed of its rights."""
    return await _told(caller, services, reason, user=user_id, since=since, until=until)


@router.get("/documents/{collection}/{document_id:path}", response_model=Story)
async def replay_document(
    collection: CollectionPath, document_id: DocumentPath, caller: Audits, services: Opened, reason: Reason = None
) -> Response:
    """A document: its versions, their receipts, and the answers whose model was shown it."""
    return await _told(caller, services, reason, document=f"{collection}/{document_id}")


@router.get("/turns", response_model=Story)
async def replay_time(
    caller: Audits, services: Opened, since: Begin, reason: Reason = None, until: Until = None
) -> Response:
    """Everything that was asked in some time."""
    return await _told(caller, services, reason, since=since, until=until)


@router.get("/accesses", response_model=Story)
async def replay_accesses(caller: Audits, services: Opened, since: Since = None, until: Until = None) -> Response:
    """Who read people's words, and why."""
    return await _told(caller, services, None, accesses=True, since=since, until=until)


async def _told(caller: Caller, services: Services, reason: str | None, **chosen: Any) -> Response:
    choice = _choice(**chosen)
    reading = None if reason is None else Reading(caller.user_id, "api", choice.said, reason)
    async with RUNNING:
        told = await _replay(services).told(choice, reading, most=MOST)
    if not told.lines and choice.is_of_one:
        raise not_found(f"{choice.said} on the log")
    lines = [as_json(line, told.words.get(number)) for number, line in enumerate(told.lines)]
    return Response(orjson.dumps({"lines": lines, "records_read": told.found.read}), media_type="application/json")


def _replay(services: Services) -> Replay:
    return Replay(services.settings, services.codec, services.objects, services.publisher)


def _choice(*, since: str | None = None, until: str | None = None, **chosen: Any) -> Choice:
    times = [None if said is None else moment_of(said) for said in (since, until)]
    return Choice(since=times[0], until=times[1], **chosen)
