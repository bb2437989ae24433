"""What is known for ever of a turn's answer: its record, from the bytes that were sealed, else from the views."""

from dataclasses import dataclass, field, replace
from typing import Any

from api.caller import Caller
from infra.objects import Objects
from infra.postgres.pool import Connection, Pool
from schemas.answers import AnswerRecorded
from schemas.codec import Codec, plain
from schemas.event import Content
from topics.catalogue import ANSWERS

OWNED = """
select conversation_id from views.turns where turn_id = %(turn)s
union all
select r.record_key from state.requests r where r.reference = %(turn)s and r.topic = 'turns' and not exists (
  select 1 from views.conversations c where c.conversation_id = r.record_key and c.deleted_offset is not null)
limit 1"""
FOLDED = """
select attempt, seq, status, reason, "text", text_sha256, events, passages, citations, prompt_tokens, completion_tokens,
  pieces from views.answers
where turn_id = %(turn)s"""
SEALED = "select value, headers from state.turns where turn_id = %(turn)s and value is not null"


@dataclass(frozen=True)
class Told:
    """The whole answer. `events`: those that are no text, as the log names them."""

    attempt: int
    seq: int
    status: str
    reason: str | None
    text: str
    events: list[dict[str, Any]]
    passages: list[dict[str, Any]]
    citations: list[dict[str, Any]] = field(default_factory=list)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    pieces: int = 0


class Look:
    """Looks a turn up for one caller, whose rights decide what there is."""

    def __init__(self, db: Pool, codec: Codec, objects: Objects, caller: Caller, turn_id: str) -> None:
        self._db, self._codec, self._objects = db, codec, objects
        self._caller, self._turn_id = caller, turn_id

    async def conversation(self) -> str | None:
        """The turn's conversation; None: no such turn, or not the caller's."""
        async with self._caller.reading(self._db) as db:
            row = await (await db.execute(OWNED.encode(), self._args)).fetchone()
            return None if row is None else str(row[0])

    async def told(self) -> Told | None:
        """The record; None: there is none yet. Raises Unavailable."""
        async with self._caller.reading(self._db) as db:
            # In this order: the fold that writes the one drops the other, maybe between these two statements.
            found = await self._sealed(db) or await self._folded(db)
        if found is None:
            return None
        told, content = found
        return replace(told, text=(await self._objects.read(content)).decode())

    async def _folded(self, db: Connection) -> tuple[Told, Content] | None:
        row = await (await db.execute(FOLDED.encode(), self._args)).fetchone()
        if row is None:
            return None
        attempt, seq, status, reason, text, text_sha256, *rest = row
        content = Content(inline=text, object_sha256=text_sha256, size=len(text or b""))
        return Told(attempt, seq, status, reason, "", *rest), content

    async def _sealed(self, db: Connection) -> tuple[Told, Content] | None:
        row = await (await db.execute(SEALED, self._args)).fetchone()
        if row is None:
            return None
        headers = {name: text.encode("ascii") for name, text in row[1].items()}
        record = await self._codec.decode(ANSWERS.name, ANSWERS.events, bytes(row[0]), headers)
        assert isinstance(record, AnswerRecorded)
        lists = plain(record.events), plain(record.passages), plain(record.citations)
        used = record.usage
        return Told(
            record.attempt,
            record.seq,
            record.status,
            record.reason,
            "",
            *lists,
            used.prompt_tokens,
            used.completion_tokens,
            used.pieces,
        ), record.text

    @property
    def _args(self) -> dict[str, str]:
        return {"turn": self._turn_id}
