"""What the steps hear of what was folded, in state: the live worker tells them, in the transaction of the fold.

Whoever makes the views anew tells nobody: state belongs to the steps.
"""

from collections.abc import Sequence

from infra.kafka.records import Received
from infra.postgres.pool import Connection
from schemas.answers import AnswerRecorded
from schemas.conversations import ConversationDeleted, ConversationStarted
from schemas.turns import TurnStopRequested

# The sealed bytes are in the log and in the view now; the marks of the seal stay for ever.
DROP_SEALED = """
update state.turns set value = null, headers = null where turn_id = any(%s) and value is not null"""
# Whoever asked for a stop may have died before it could say so; where it is known already this changes nothing.
STOP_TURN = "select app.stop_turn(%(turn_id)s, %(conversation_id)s, %(user_id)s)"
STOP_ALL = """
select app.stop_turn(turn_id, %(conversation_id)s, %(user_id)s)
from app.open_turns(%(conversation_id)s, %(user_id)s) turn_id"""
RELEASE = "select app.release_turns(%s)"


async def stop_turns(db: Connection, received: Sequence[Received[TurnStopRequested]]) -> None:
    """The turns' workers hear of the stops."""
    async with db.cursor() as cursor:
        await cursor.executemany(STOP_TURN, [vars(record.event) for record in received])


async def give_up_sealed(db: Connection, received: Sequence[Received[AnswerRecorded]]) -> None:
    """What was kept for these answers elsewhere is given up: sealed bytes, and places in flight."""
    turn_ids = [record.event.turn_id for record in received]
    await db.execute(DROP_SEALED, [turn_ids])
    await db.execute(RELEASE, [turn_ids])


async def stop_deleted(db: Connection, received: Sequence[Received[ConversationStarted | ConversationDeleted]]) -> None:
    """What runs in a deleted conversation is stopped."""
    for record in received:
        if isinstance(record.event, ConversationDeleted):
            await db.execute(STOP_ALL, vars(record.event))
