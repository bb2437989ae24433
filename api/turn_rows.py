"""The rows of turns: what comes while others are entered goes together, and each is checked in the database."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
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
select r.outcome, r.reference, r.record_key, r."position", r.in_flight
from unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[], %s::bytea[], %s::jsonb[],
    %s::text[], %s::int[], %s::float8[], %s::bool[])
  with ordinality a(turn, owner, key, hash, conversation, parent, value, headers, holder, most, seconds, sure, number),
  app.accept_turn(a.turn, a.owner, a.key, a.hash, a.conversation, a.parent, a.value, a.headers, a.holder, a.most,
    a.seconds, a.sure) r
order by a.number"""
HOLDER = 8
FRESH_SECONDS = 2.0
SURELY = 0.5  # of the places: who has no more in flight, as far as is known here, gets another one for sure
REMEMBERED = 10_000


@dataclass
class _InFlight:
    """What is known of a holder's turns in flight: their number, and since then how many were entered here."""

    number: int
    counted_at: float
    entering: int = 0


class TurnRows:
    """Enters turns."""

    def __init__(self, db: Pool) -> None:
        self._db = db
        self._together = Together(self._enter)
        self._in_flight: dict[str, _InFlight] = {}
        self._owners: dict[str, str] = {}  # of conversations that turns were entered in

    def is_sure(self, command: Command, caller: Caller, event: TurnRequested) -> bool:
        """Whether nothing can be said against a turn, so that its row may go beside its record.

        It names no parent and no key, its conversation was the caller's a moment ago, or begins with it, and there are
        places enough. Two replicas may be sure at once: then a few turns more than allowed are in flight. One whose
        conversation was deleted meanwhile is refused, though it is on the log: it ends there, and nobody is asked.
        """
        conversation_id = event.conversation_id
        known = self._in_flight.get(caller.holder)
        return (
            command.key is None
            and event.parent_turn_id is None
            and (conversation_id == event.turn_id or self._owners.get(conversation_id) == command.owner)
            and known is not None
            and known.counted_at > time.monotonic() - FRESH_SECONDS
            and known.number + known.entering < SURELY * caller.turns_in_flight
        )

    async def enter(self, command: Command, *, caller: Caller, event: TurnRequested, sure: bool) -> Row:
        """The row of a turn: its conversation is the caller's, its parent is sealed, and there is a place in flight.

        Raises problems, and Unavailable. `sure`: it has a place whatever is taken.
        """
        asked = (event.turn_id, command.owner, command.key, command.digest, event.conversation_id)
        stored = (event.parent_turn_id, command.encoded.value, Jsonb(headers_to_json(command.encoded)))
        place = (caller.holder, caller.turns_in_flight, (event.deadline - event.occurred_at) / 1000, sure)
        self._forget()
        known = self._in_flight.setdefault(caller.holder, _InFlight(0, 0.0))
        known.entering += 1
        try:
            row = await self._together.do((*asked, *stored, *place))
        finally:
            known.entering -= 1
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
            case "new" if event.conversation_id != event.turn_id:
                self._owners[event.conversation_id] = command.owner
        return row

    async def _enter(self, rows: Sequence[tuple[Any, ...]]) -> list[Row]:
        order = sorted(range(len(rows)), key=lambda number: rows[number][HOLDER])
        async with connection(self._db) as db:
            found = await (await db.execute(ACCEPT.encode(), columns(rows[number] for number in order))).fetchall()
        entered: dict[int, Row] = {}
        for number, (*row, in_flight) in zip(order, found, strict=True):
            entered[number] = Row(*row)
            if in_flight is not None and (known := self._in_flight.get(rows[number][HOLDER])):
                known.number, known.counted_at = in_flight, time.monotonic()
        return [entered[number] for number in range(len(rows))]

    def _forget(self) -> None:
        """What is remembered of many is of use for few: whoever is forgotten is asked for once more."""
        if len(self._owners) > REMEMBERED:
            self._owners.clear()
        if len(self._in_flight) > REMEMBERED:
            self._in_flight = {holder: known for holder, known in self._in_flight.items() if known.entering}
