"""The rows of turns: what comes while others are entered goes together, and each is checked in the database."""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from api.accept import Command, Row, headers_to_json
from api.caller import Caller
from api.problems import Problem, not_found, too_many
from infra.postgres.pool import Pool, connection
from infra.postgres.together import Together, columns
from schemas.turns import TurnRequested

# In the order of their holders, whose locks they take: two replicas never wait for each other.
ACCEPT = """
select r.outcome, r.reference, r.record_key, r."position"
from unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[], %s::bytea[], %s::jsonb[],
    %s::text[], %s::int[], %s::float8[])
  with ordinality a(turn, owner, key, hash, conversation, parent, value, headers, holder, most, seconds, number),
  app.accept_turn(a.turn, a.owner, a.key, a.hash, a.conversation, a.parent, a.value, a.headers, a.holder, a.most,
    a.seconds) r
order by a.number"""
HOLDER = 8


class TurnRows:
    """Enters turns."""

    def __init__(self, db: Pool) -> None:
        self._db = db
        self._together = Together(self._enter)

    async def enter(self, command: Command, *, caller: Caller, event: TurnRequested) -> Row:
        """The row of a turn: its conversation is the caller's, its parent is sealed, and there is a place in flight.

        Raises problems, and Unavailable.
        """
        asked = (event.turn_id, command.owner, command.key, command.digest, event.conversation_id)
        stored = (event.parent_turn_id, command.encoded.value, Jsonb(headers_to_json(command.encoded)))
        place = (caller.holder, caller.turns_in_flight, (event.deadline - event.occurred_at) / 1000)
        row = await self._together.do((*asked, *stored, *place))
        match row.outcome:
            case "no-conversation":
                raise not_found(f"conversation {event.conversation_id}")
            case "no-parent":
                raise not_found(f"turn {event.parent_turn_id} in this conversation")
            case "open-parent":
                raise Problem(
                    409, "parent-open", "the parent turn has no answer yet: wait for its end, or leave it out"
                )
            case "full":
                detail = f"{caller.turns_in_flight} turns of yours are in flight; wait for one to end"
                raise too_many("turns-in-flight", detail, 1)
        return row

    async def _enter(self, rows: Sequence[tuple[Any, ...]]) -> list[Row]:
        order = sorted(range(len(rows)), key=lambda number: rows[number][HOLDER])
        async with connection(self._db) as db:
            found = await (await db.execute(ACCEPT.encode(), columns(rows[number] for number in order))).fetchall()
        entered = dict(zip(order, found, strict=True))
        return [Row(*entered[number]) for number in range(len(rows))]
