"""The turns before a turn, read with its user's rights; those that this worker just answered it still knows."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal, cast

from infra.objects import Objects
from infra.postgres.pool import Connection, Pool, session
from schemas.errors import Refused, Unavailable
from schemas.event import Content
from streams.chat.prompt import Earlier

READ = """
with recursive chain as (
  select t.turn_id, t.question, t.question_sha256, a."text", a.text_sha256, a.status, a.parent_turn_id, 1 as depth
  from views.turns t join views.answers a using (turn_id) where t.turn_id = %(newest)s
  union all
  select t.turn_id, t.question, t.question_sha256, a."text", a.text_sha256, a.status, a.parent_turn_id, c.depth + 1
  from chain c join views.turns t on t.turn_id = c.parent_turn_id join views.answers a on a.turn_id = t.turn_id
  where c.depth < %(most)s)
select turn_id, question, question_sha256, "text", text_sha256, status, parent_turn_id from chain order by depth"""
DELETED = "select 1 from views.conversations where conversation_id = %s and deleted_offset is not null"
LONGEST = 50  # turns; the prompt's budget is reached long before
KNOWN_CHARACTERS = 16_000_000
VIEWS_SECONDS = 2.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Answered:
    """A turn that has its record, and the turn before it."""

    earlier: Earlier
    parent_turn_id: str | None

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.earlier.question) + len(self.earlier.answer)


class History:
    """Reads through a pool of the role `api`, so that row-level security decides what a question may build on."""

    def __init__(self, pool: Pool, objects: Objects) -> None:
        self._pool, self._objects = pool, objects
        self._known: OrderedDict[tuple[str, str], Answered] = OrderedDict()
        self._size = 0

    def remember(self, user_id: str, turn_id: str, answered: Answered) -> None:
        """What this worker sealed; the views may need a moment to know it."""
        if (user_id, turn_id) in self._known:
            return
        self._known[user_id, turn_id] = answered
        self._size += answered.size
        while self._size > KNOWN_CHARACTERS:
            self._size -= self._known.popitem(last=False)[1].size

    async def before(self, user_id: str, conversation_id: str, parent_turn_id: str | None) -> list[Earlier]:
        """The turns up to a parent, oldest first; raises Unavailable, or Refused (the conversation was deleted)."""
        found: list[Earlier] = []
        at = parent_turn_id
        while at is not None and len(found) < LONGEST:
            known = self._known.get((user_id, at))
            if known is None:
                return [*await self._read(user_id, conversation_id, at, LONGEST - len(found)), *found]
            found.insert(0, known.earlier)
            at = known.parent_turn_id
        return found

    async def _read(self, user_id: str, conversation_id: str, newest: str, most: int) -> list[Earlier]:
        """A turn that is sealed comes into the views within a moment, unless they are behind."""
        for _ in range(round(VIEWS_SECONDS / LOOK_SECONDS)):
            async with session(self._pool, user_id, [f"user:{user_id}"]) as db:
                rows = await self._rows(db, newest, most)
                if not rows:
                    await _refuse_deleted(db, conversation_id)
            if rows:
                return [await self._earlier(row) for row in reversed(rows)]
            await asyncio.sleep(LOOK_SECONDS)
        raise Unavailable("views", "they do not have the turn before this one yet")

    async def _rows(self, db: Connection, newest: str, most: int) -> list[tuple[Any, ...]]:
        return await (await db.execute(READ, {"newest": newest, "most": most})).fetchall()

    async def _earlier(self, row: tuple[Any, ...]) -> Earlier:
        _, question, question_sha256, text, text_sha256, status, _ = row
        return Earlier(
            question=await self._words(question, question_sha256),
            answer=await self._words(text, text_sha256),
            status=cast(Literal["completed", "stopped", "failed"], status),
        )

    async def _words(self, inline: bytes | None, sha256: str | None) -> str:
        content = Content(inline=inline, object_sha256=sha256, size=len(inline or b""))
        return (await self._objects.read(content)).decode()


async def _refuse_deleted(db: Connection, conversation_id: str) -> None:
    if await (await db.execute(DELETED, [conversation_id])).fetchone():
        raise Refused("the conversation was deleted")
