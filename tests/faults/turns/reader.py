"""A reader who never gives up: follows a turn at any replica, and notes whatever it should not have been told."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from api.stream.frames import Place
from turnlog.sse import Parser, ServerEvent


@dataclass
class Reader:
    """One turn's stream as it was told. `wrong`: what breaks its promises."""

    turn_id: str
    urls: Sequence[str]
    http: httpx.AsyncClient
    text: str = ""
    place: Place = field(default_factory=Place)
    names: list[str] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    broken: int = 0
    ended: dict[str, Any] | None = None
    leaves_after: int = 0  # events, each time; 0: it stays

    async def follow(self, seconds: float = 100) -> "Reader":
        """Reads to the end, beginning at the replica `at`."""
        at = 0
        try:
            async with asyncio.timeout(seconds):
                while self.ended is None:
                    try:
                        await self._read(self.urls[at % len(self.urls)])
                    except httpx.TransportError:
                        await asyncio.sleep(0.1)
                    self.broken += self.ended is None
                    at += 1
        except TimeoutError:
            self.wrong.append(f"no end after {seconds} s, at {self.place}; told: {self.names[-5:]}, {self.waited}")
        return self

    async def _read(self, url: str) -> None:
        head = {"last-event-id": self._last_id} if self.place.attempt else {}
        began = len(self.names)
        async with self.http.stream("GET", f"{url}/v1/turns/{self.turn_id}/events", headers=head) as answer:
            if answer.status_code != 200:
                await asyncio.sleep(0.2)
                if answer.status_code < 500:
                    self.wrong.append(f"status {answer.status_code}")
                return
            async for event in self._events(answer):
                self._take(event)
                if self.ended or (self.leaves_after and len(self.names) - began >= self.leaves_after):
                    return

    @property
    def _last_id(self) -> str:
        return f"{self.place.attempt}.{self.place.seq}.{self.place.position}"

    async def _events(self, answer: httpx.Response) -> AsyncIterator[ServerEvent]:
        rest = b""
        async for chunk in answer.aiter_raw():
            *blocks, rest = (rest + chunk).split(b"\n\n")
            for block in blocks:
                for event in Parser().take(block + b"\n\n"):
                    yield event

    def _take(self, event: ServerEvent) -> None:
        self.names.append(event.name)
        if event.name == "waiting":
            self.waited.append(event.data["server"])
        if not event.last_id:  # said by the replica itself
            return
        place, before = Place.parsed(event.last_id), self.place
        if event.name == "restart":
            self.text = ""
        elif place.attempt != before.attempt and before.attempt:
            self.wrong.append(f"attempt {place.attempt} after {before.attempt} without a restart")
        elif event.name not in ("queued", "ended") and (place.seq, place.position) <= (before.seq, before.position):
            self.wrong.append(f"{event.name} at {place} after {before}")
        if event.name == "delta":
            self.text += event.data["text"]
        if place.position != len(self.text):
            self.wrong.append(f"{event.name} at {place}, but {len(self.text)} characters arrived")
        self.place = place
        if event.name == "ended":
            self.ended = event.data

    @property
    def restarts(self) -> int:
        """How often it was told to forget what it had."""
        return self.names.count("restart")


@dataclass
class Reading:
    """A reader at work."""

    reader: Reader
    task: "asyncio.Task[Reader]"
    since: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, reader: Reader, seconds: float = 100) -> "Reading":
        """Begins."""
        return cls(reader, asyncio.create_task(reader.follow(seconds)))
