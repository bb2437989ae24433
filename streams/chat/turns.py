"""Which attempt owns a turn, and which one's record counts: claims and seals in Postgres (design §4)."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from infra.kafka.records import Received
from infra.postgres.freshness import Freshness, Offsets
from infra.postgres.pool import Pool, connection
from infra.postgres.together import Together, columns
from schemas.answers import AnswerRecorded
from schemas.codec import Encoded
from schemas.errors import Unavailable
from schemas.event import now_ms
from schemas.turns import TurnRequested
from streams.chat.rights import Rights
from topics.catalogue import ACCESS_CHANGES, DOCUMENTS

# The parent is fixed by the first claim: the one that was named, or the turn before this one in the conversation's log.
CLAIM = """
insert into state.turns as t
  (turn_id, conversation_id, user_id, parent_turn_id, log_offset, attempt, holding, claimed_at)
select a.turn, a.conversation, a.asker, coalesce(a.parent, (
    select k.turn_id from (
      select turn_id, log_offset from state.turns
      where conversation_id = a.conversation and log_offset < a.at and user_id is not null
      union all
      select turn_id, "offset" from views.turns
      where conversation_id = a.conversation and "offset" < a.at) k
    where k.turn_id <> a.turn order by k.log_offset desc limit 1)),
  a.at, a.now, true, now()
from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
  a(turn, conversation, asker, parent, at, now)
where not exists (select 1 from views.answers where turn_id = a.turn)
on conflict (turn_id) do update set
  attempt = greatest(t.attempt + 1, excluded.attempt), tries = t.tries + t.holding::int, holding = true,
  claimed_at = coalesce(t.claimed_at, now()),
  parent_turn_id = case when t.claimed_at is null then excluded.parent_turn_id else t.parent_turn_id end,
  conversation_id = excluded.conversation_id, user_id = coalesce(excluded.user_id, t.user_id),
  log_offset = coalesce(t.log_offset, excluded.log_offset)
where t.sealed_at is null
returning turn_id, attempt, tries, stop_requested_at is not null, parent_turn_id,
  app.principals_of(t.user_id), app.is_deleted_conversation(t.conversation_id)"""
RIGHTS = "select app.principals_of(%s), app.is_deleted_conversation(%s)"
LET_GO = "update state.turns set holding = false where turn_id = %s and attempt = %s and sealed_at is null"
SEAL = """
update state.turns t set sealed_at = now(), holding = false,
  status = a.status, reason = a.reason, seq = a.seq, length = a.length, value = a.value, headers = a.headers
from unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bytea[], %s::jsonb[])
  a(turn, attempt, status, reason, seq, length, value, headers)
where t.turn_id = a.turn and t.attempt = a.attempt and t.sealed_at is null
returning t.turn_id, t.attempt"""
SEALED = """
select attempt, seq, length, status, reason, value, headers from state.turns
where turn_id = %(turn)s and sealed_at is not null
union all
select attempt, seq, length, status, reason, null, null from views.answers where turn_id = %(turn)s
limit 1"""
STOPPED = "select turn_id from state.turns where turn_id = any(%s) and stop_requested_at is not null"

OWNER_KNOWN_SECONDS = 3.0  # three heartbeats: by then a worker that lost a partition has heard of it
LOOK_SECONDS = 0.3


@dataclass(frozen=True)
class Claim:
    """The right to answer a turn, until another claim. `tries`: attempts before it that ended without a word."""

    turn_id: str
    conversation_id: str
    attempt: int
    tries: int
    stopped: bool
    parent_turn_id: str | None
    claimed_at: int
    rights: Rights


@dataclass(frozen=True)
class Sealed:
    """A turn that has its record. `record` None: the views have folded it, so it lies on `answers`."""

    turn_id: str
    attempt: int
    seq: int
    length: int
    status: str
    reason: str | None
    record: Encoded | None


class Turns:
    """`state.turns`. There is no lease: whoever seals under the newest attempt wins, everybody else looks again."""

    def __init__(self, pool: Pool, freshness: Freshness) -> None:
        self._pool, self._freshness = pool, freshness
        self._letting_go: set[asyncio.Task[None]] = set()
        self._claims = Together(self._claim)
        self._seals = Together(self._seal)

    @classmethod
    @asynccontextmanager
    async def open(cls, pool: Pool, freshness: Freshness) -> AsyncIterator["Turns"]:
        """At the end it waits for the claims that were let go of."""
        turns = cls(pool, freshness)
        yield turns
        if turns._letting_go:
            await asyncio.wait(turns._letting_go, timeout=5)

    async def claim(self, asked: Received[TurnRequested]) -> Claim | Sealed:
        """A new attempt, or what is sealed already; raises Unavailable."""
        event = asked.event
        wanted = Wanted(event.turn_id, event.conversation_id, event.user_id, event.parent_turn_id, asked.offset)
        return await self.claim_as(wanted)

    async def claim_as(self, wanted: "Wanted") -> Claim | Sealed:
        """As `claim`, for whoever has no readable request."""
        while True:
            if (claim := await self._claims.do(wanted)) is not None:
                return claim
            if (sealed := await self.sealed(wanted.turn_id)) is not None:
                return sealed

    async def _claim(self, wanted: "Sequence[Wanted]") -> list[Claim | None]:
        """A new attempt of each; None where the turn is sealed."""
        folded, now = self._folded(), now_ms()
        rows = [(one.turn_id, one.conversation_id, one.user_id, one.parent_turn_id, one.offset, now) for one in wanted]
        async with connection(self._pool) as db:
            found = await db.execute(CLAIM.encode(), columns(rows))
            claims = {}
            async for turn_id, attempt, tries, stopped, parent, principals, deleted in found:
                claims[turn_id] = attempt, tries, stopped, parent, now, Rights(principals, deleted, folded)
        return [
            Claim(one.turn_id, one.conversation_id, *claims[one.turn_id]) if one.turn_id in claims else None
            for one in wanted
        ]

    async def rights(self, user_id: str, conversation_id: str) -> Rights:
        """As they are now; raises Unavailable."""
        folded = self._folded()
        row = await self._one(RIGHTS, [user_id, conversation_id])
        assert row is not None
        return Rights(row[0], row[1], folded)

    def _folded(self) -> Offsets:
        return self._freshness.offsets((ACCESS_CHANGES, DOCUMENTS))

    async def let_go(self, claim: Claim) -> None:
        """This attempt ends in order, and is not counted as a try; raises Unavailable."""
        async with connection(self._pool) as db:
            await db.execute(LET_GO, [claim.turn_id, claim.attempt])

    def let_go_soon(self, claim: Claim) -> None:
        """As `let_go`, for a task that is being cancelled; when it fails, a try too many is counted."""

        async def let_go() -> None:
            with suppress(Unavailable):
                await self.let_go(claim)

        task = asyncio.create_task(let_go())
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def seal(self, claim: Claim, record: AnswerRecorded, encoded: Encoded) -> bool:
        """Fixes the turn's record; False when another attempt has the turn, or has sealed it. Raises Unavailable."""
        headers = Jsonb({name: value.decode("ascii") for name, value in encoded.headers})
        marks = (record.status, record.reason, record.seq, record.length, encoded.value, headers)
        return await self._seals.do((claim.turn_id, claim.attempt, *marks))

    async def _seal(self, rows: Sequence[tuple[Any, ...]]) -> list[bool]:
        async with connection(self._pool) as db:
            sealed = await (await db.execute(SEAL.encode(), columns(rows))).fetchall()
        return [row[:2] in sealed for row in rows]

    async def sealed(self, turn_id: str) -> Sealed | None:
        """What is sealed of a turn; raises Unavailable."""
        row = await self._one(SEALED, {"turn": turn_id})
        if row is None:
            return None
        attempt, seq, length, status, reason, value, headers = row
        record = None
        if value is not None:
            record = Encoded(bytes(value), [(name, text.encode("ascii")) for name, text in headers.items()])
        return Sealed(turn_id, attempt, seq, length, status, reason, record)

    async def owner_known(self, turn_id: str) -> Sealed | None:
        """After a lost seal: waits until the other attempt has sealed, or until it is clear whose the partition is."""
        for _ in range(round(OWNER_KNOWN_SECONDS / LOOK_SECONDS)):
            if (sealed := await self.sealed(turn_id)) is not None:
                return sealed
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.7, 1.3))
        return None

    async def stopped(self, turn_ids: Sequence[str]) -> list[str]:
        """Which of these turns somebody wants to end; raises Unavailable."""
        async with connection(self._pool) as db:
            return [turn_id async for (turn_id,) in await db.execute(STOPPED, [list(turn_ids)])]

    async def _one(self, query: str, args: dict[str, Any] | list[Any]) -> tuple[Any, ...] | None:
        async with connection(self._pool) as db:
            return await (await db.execute(query.encode(), args)).fetchone()


@dataclass(frozen=True)
class Wanted:
    """What a claim is about, and where its request lies."""

    turn_id: str
    conversation_id: str
    user_id: str | None
    parent_turn_id: str | None
    offset: int
