"""A reader's way through an answer, from any place to its end: from memory while it grows, else from its record."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

from api.stream.answer import Answer
from api.stream.frames import PING, Place, aside
from api.stream.told import Told
from schemas.errors import Unavailable

PART = 32_000  # characters of a record in one delta at most
LOOK_SECONDS = 0.05
UNTOLD_SECONDS = 5.0  # a sealed record is there at once: one that is not by then is hidden, its conversation deleted

Tell = Callable[[], Awaitable[Told | None]]


class Trouble:
    """Which server this replica misses right now; it says so by itself, because nobody else can."""

    server: str | None = None


class Reader:
    """One reader of an answer. The answer is subscribed to before any record is looked for: nothing falls between."""

    def __init__(self, answer: Answer, place: Place, tell: Tell, trouble: Trouble) -> None:
        self._answer, self._place, self._tell, self._trouble = answer, place, tell, trouble
        self._missing: str | None = None
        self._said: str | None = None
        self._untold_seconds = 0.0

    async def frames(self, *, new: bool = False) -> AsyncGenerator[bytes, None]:
        """Everything after the place, to `ended`. `new`: made a moment ago, so there is no record to look for yet."""
        if not self._place.attempt:
            yield Place().frame("queued", {})
        look = not new and (self._answer.blind or self._place.attempt > 0 or not self._answer.items)
        while True:
            looking, look = look, False
            if frames := self._seen():
                yield frames
            if self._is_whole() or self._untold_seconds > UNTOLD_SECONDS:
                yield self._end()
                return
            sealed = self._sealed_elsewhere()
            if (looking or sealed) and (told := await self._look()):
                for frame in rest(told, self._place):
                    yield frame
                return
            if waits := self._waits():
                yield waits
            if sealed:
                await asyncio.sleep(LOOK_SECONDS)
                self._untold_seconds += 0 if self._missing else LOOK_SECONDS
            elif frames or looking or waits:
                continue  # while that went on, more may have come
            elif not await self._answer.changed():
                yield PING
                look = True  # in case its end was never heard of here

    def _seen(self) -> bytes:
        """What memory has after the place, which moves; at a gap it ends, an unseen beginning is no items at all."""
        answer, frames = self._answer, list[bytes]()
        if not (answer.items or answer.ended):
            return b""
        if answer.attempt > self._place.attempt or self._is_elsewhere():
            if self._place.attempt:
                frames.append(restart(answer.attempt))
            self._place = Place(answer.attempt)
        if answer.attempt == self._place.attempt and self._place.seq < len(answer.items):
            frames += [item.frame for item in answer.items[self._place.seq :]]
            self._place = self._place.at(len(answer.items), answer.position)
        return b"".join(frames)

    def _is_elsewhere(self) -> bool:
        """Whether the reader names a place that this attempt does not have; one ahead of memory may yet come."""
        answer, place = self._answer, self._place
        if place.attempt != answer.attempt or not 0 < place.seq <= len(answer.items):
            return False
        return place.position != answer.items[place.seq - 1].position

    def _is_whole(self) -> bool:
        """Whether this reader has everything of an ended answer."""
        ended, place = self._answer.ended, self._place
        return (
            ended is not None
            and not self._answer.blind
            and (ended.attempt, ended.seq, ended.length) == (place.attempt, place.seq + 1, place.position)
        )

    def _sealed_elsewhere(self) -> bool:
        """Whether the answer ended, and this replica has not all of it."""
        ended = self._answer.ended
        return ended is not None and ended.attempt >= self._place.attempt

    def _end(self) -> bytes:
        ended = self._answer.ended
        assert ended is not None
        return end_frame(self._place.at(ended.seq, ended.length), ended.status, ended.reason)

    async def _look(self) -> Told | None:
        try:
            told = await self._tell()
        except Unavailable as exc:
            self._missing = exc.server
            return None
        self._missing = None
        return told

    def _waits(self) -> bytes:
        """Says once which server is missing; that it is back, the answer itself will show."""
        server = self._missing or self._trouble.server
        if server == self._said:
            return b""
        self._said = server
        return aside("waiting", {"server": server}) if server else b""


def end_frame(place: Place, status: str, reason: str | None) -> bytes:
    """The last event of every stream."""
    return place.frame("ended", {"status": status, "reason": reason, "length": place.position})


def rest(told: Told, place: Place) -> Iterator[bytes]:
    """What a record has after a place: its events that are no text, and the text between them."""
    if place.attempt != told.attempt or place.seq > told.seq or place.position > len(told.text):
        if place.attempt:
            yield restart(told.attempt)
        place = Place(told.attempt)
    for event in told.events:
        if event["seq"] <= place.seq:
            continue
        yield from _text(told, place, event["seq"] - 1, event["position"])
        place = place.at(event["seq"], max(place.position, event["position"]))
        yield place.frame(event["kind"], _detail(told, event["kind"], event["detail"]))
    yield from _text(told, place, told.seq - 1, len(told.text))
    yield end_frame(place.at(told.seq, len(told.text)), told.status, told.reason)


def restart(attempt: int) -> bytes:
    """Forget what was said: another attempt says it anew."""
    return Place(attempt).frame("restart", {"attempt": attempt})


def _text(told: Told, place: Place, seq: int, until: int) -> Iterator[bytes]:
    for start in range(place.position, until, PART):
        end = min(start + PART, until)
        yield place.at(max(seq, place.seq), end).frame("delta", {"text": told.text[start:end]})


def _detail(told: Told, kind: str, detail: str | None) -> dict[str, object]:
    match kind:
        case "passages":
            return {"passages": told.passages}
        case "waiting":
            return {"server": detail}
    return {}
