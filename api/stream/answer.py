"""One answer in a replica's memory: its events once, as bytes, for however many readers."""

import asyncio
from dataclasses import dataclass
from typing import Any

from api.stream.frames import Place
from schemas.answers import AnswerEnded, AnswerExtended, AnswerStarted, AnswerWaiting, PassagesRetrieved
from schemas.codec import plain
from schemas.event import Event

Live = AnswerStarted | PassagesRetrieved | AnswerExtended | AnswerWaiting | AnswerEnded


@dataclass(frozen=True)
class Item:
    """An event of an attempt; its place in the list is its seq. `frame` is empty when readers are shown nothing."""

    position: int
    frame: bytes


class Answer:
    """What a replica has seen of a turn. Readers keep an index into `items`: no copies, and nobody is waited for."""

    __slots__ = ("attempt", "blind", "ended", "items", "readers", "size", "touched", "waiters")

    def __init__(self) -> None:
        self.attempt = 0
        self.items: list[Item] = []
        self.ended: AnswerEnded | None = None
        self.blind = False  # the attempt's beginning, or something within it, was not seen: hold
        self.readers = 0
        self.size = 0
        self.touched = 0.0
        self.waiters: list[asyncio.Future[bool]] = []

    @property
    def position(self) -> int:
        """Characters known of the attempt."""
        return self.items[-1].position if self.items else 0

    def apply(self, event: Event) -> None:
        """Takes an event in; what belongs to a lower attempt than the highest seen is dropped."""
        assert isinstance(event, Live)
        if event.attempt < self.attempt or self.ended is not None:
            return
        if event.attempt > self.attempt:
            self.attempt, self.items, self.blind, self.size = event.attempt, [], False, 0
        if isinstance(event, AnswerEnded):
            self.ended = event
        elif self.blind or event.seq <= len(self.items):
            return
        elif event.seq != len(self.items) + 1:
            self.blind = True
            return
        else:
            self._append(event)
        self.wake(True)

    def _append(self, event: Live) -> None:
        position = event.position if isinstance(event, AnswerExtended) else self.position
        kind, data = shown(event)
        frame = Place(event.attempt, event.seq, position).frame(kind, data) if kind else b""
        self.items.append(Item(position, frame))
        self.size += len(frame)

    def wake(self, more: bool) -> None:
        """Wakes the waiting readers: there is more, or (False) it is time for a ping."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(more)

    async def changed(self) -> bool:
        """Waits for more; False: for a ping."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return await waiter


def shown(event: Live) -> tuple[str, dict[str, Any]]:
    """What readers are told of an event, and how it is called; no name: nothing."""
    match event:
        case AnswerExtended():
            return "delta", {"text": event.text}
        case AnswerStarted():
            return ("retrieving", {}) if event.retrieving else ("", {})
        case PassagesRetrieved():
            return "passages", {"passages": plain(event.passages)}
        case AnswerWaiting():
            return "waiting", {"server": event.server}
    return "", {}
