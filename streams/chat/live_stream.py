"""An answer as it grows, event by event, on `answers-live`: dense, in order, and nothing after one that was lost."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from infra.kafka.publisher import Publisher
from schemas.answers import (
    AnswerExtended,
    AnswerStarted,
    AnswerWaiting,
    PassagesRetrieved,
    Retrieved,
    ShownPassage,
    StreamEvent,
)
from schemas.errors import Unavailable
from schemas.event import Event
from streams.chat.turns import Claim
from topics.catalogue import ANSWERS_LIVE

DELTA_CHARACTERS = 100_000  # at most 400 kB of UTF-8
HOLD_SECONDS = 1.0


@dataclass
class Held:
    """An event that waits for the next one. `late`: nothing came, so it is sent alone."""

    event: Event
    timer: asyncio.TimerHandle
    late: asyncio.Task[None] | None = None


class LiveStream:
    """One attempt's events. Sending is enqueueing; the partition is the request's, because the key is."""

    def __init__(self, publisher: Publisher, claim: Claim, partition: int) -> None:
        self._publisher, self._claim, self._partition = publisher, claim, partition
        self._unsettled: set[asyncio.Future[Any]] = set()
        self._lost: BaseException | None = None
        self._held: Held | None = None
        self._text: list[str] = []
        self.seq = 0
        self.position = 0
        self.events: list[StreamEvent] = []

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._text)

    async def started(self, *, retrieving: bool) -> None:
        """The attempt begins. Unless it retrieves, readers are shown nothing of it: it goes with what comes next.

        That saves a produce request and a fetch of each replica. A model that says nothing for a second is not waited
        for: auditors learn of its attempt then.
        """
        event = AnswerStarted(
            turn_id=self._claim.turn_id, attempt=self._claim.attempt, seq=self.seq + 1, retrieving=retrieving
        )
        if retrieving:
            self._note("retrieving")
            await self._send(event)
        else:
            self.seq += 1
            self._held = Held(event, asyncio.get_running_loop().call_later(HOLD_SECONDS, self._wait_no_more))

    def _wait_no_more(self) -> None:
        assert self._held is not None
        self._held.late = asyncio.create_task(self._enqueue(self._held.event))
        self._held.late.add_done_callback(self._settle)

    async def retrieved(self, passages: list[ShownPassage], retrieved: Retrieved) -> None:
        """The passages that the model will be shown."""
        self._note("passages")
        await self._send(
            PassagesRetrieved(
                turn_id=self._claim.turn_id,
                attempt=self._claim.attempt,
                seq=self.seq + 1,
                passages=passages,
                retrieved=retrieved,
            )
        )

    async def extend(self, text: str) -> None:
        """The answer grows; a piece of any length fits into records."""
        for start in range(0, len(text), DELTA_CHARACTERS):
            await self._extend(text[start : start + DELTA_CHARACTERS])

    async def _extend(self, text: str) -> None:
        self._text.append(text)
        self.position += len(text)
        await self._send(
            AnswerExtended(
                turn_id=self._claim.turn_id,
                attempt=self._claim.attempt,
                seq=self.seq + 1,
                position=self.position,
                text=text,
            )
        )

    async def waiting(self, server: str) -> None:
        """The answer waits for a server."""
        self._note("waiting", server)
        await self._send(
            AnswerWaiting(
                turn_id=self._claim.turn_id,
                attempt=self._claim.attempt,
                seq=self.seq + 1,
                server=server,
                position=self.position,
            )
        )

    def check(self) -> None:
        """Raises Unavailable when an event was lost: then the attempt is over."""
        if self._lost is not None:
            raise Unavailable("kafka", "an event of this attempt was lost")

    async def settled(self, seconds: float | None = None) -> None:
        """Returns when every event is in the log, or lost: then readers take its text from the record; or in time."""
        with suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(seconds):
                await self._send_held()
                while self._unsettled:
                    await asyncio.wait(self._unsettled)

    def _note(self, kind: str, detail: str | None = None) -> None:
        self.events.append(StreamEvent(kind=kind, seq=self.seq + 1, position=self.position, detail=detail))

    async def _send(self, event: Event) -> None:
        self.check()
        self.seq += 1
        await self._send_held()
        await self._enqueue(event)

    async def _send_held(self) -> None:
        """What is held is on its way before anything else."""
        if self._held is None:
            return
        held, self._held = self._held, None
        held.timer.cancel()
        await (held.late or self._enqueue(held.event))

    async def _enqueue(self, event: Event) -> None:
        sent = await self._publisher.send(ANSWERS_LIVE, self._claim.conversation_id, event, partition=self._partition)
        self._unsettled.add(sent)
        sent.add_done_callback(self._settle)

    def _settle(self, sent: asyncio.Future[Any]) -> None:
        self._unsettled.discard(sent)
        if sent.cancelled():
            self._lost = asyncio.CancelledError()
        elif (exc := sent.exception()) is not None:
            self._lost = exc
