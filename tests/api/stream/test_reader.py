"""A reader holds at a gap, forgets a lower attempt, and takes from the record what memory does not have."""

import asyncio
import re
from collections.abc import Callable, Sequence

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.stream.answer import Answer
from api.stream.follow import UNTOLD_SECONDS, Reader, Trouble, rest
from api.stream.frames import Place
from api.stream.told import Told
from schemas.answers import AnswerEnded, AnswerExtended, AnswerStarted, AnswerWaiting
from schemas.errors import Unavailable
from schemas.event import Event

TURN = "t"
MOMENT = 0.8 * UNTOLD_SECONDS  # whoever gives up to wait for a record takes longer
FRAME = re.compile(rb"event: (\w+)\n(?:id: (\d+)\.(\d+)\.(\d+)\n)?data: (.*)\n\n")
PIECES = ("One ", "two, ", "drei \N{GRINNING FACE} ", "vier.")


def attempt(number: int, pieces: Sequence[str] = PIECES, *, waits_before: int = -1) -> list[Event]:
    """The events of a whole attempt; it waits for a server before one of the pieces."""
    made: list[Event] = [AnswerStarted(turn_id=TURN, attempt=number, seq=1, retrieving=True)]
    position = 0
    for n, piece in enumerate(pieces):
        if n == waits_before:
            made.append(
                AnswerWaiting(turn_id=TURN, attempt=number, seq=len(made) + 1, server="opensearch", position=position)
            )
        position += len(piece)
        made.append(AnswerExtended(turn_id=TURN, attempt=number, seq=len(made) + 1, position=position, text=piece))
    made.append(AnswerEnded(turn_id=TURN, attempt=number, seq=len(made) + 1, length=position, status="completed"))
    return made


def record(number: int, pieces: Sequence[str] = PIECES, *, waits_before: int = -1) -> Told:
    """The same attempt as its record tells it."""
    events = attempt(number, pieces, waits_before=waits_before)
    noted = [{"kind": "retrieving", "seq": 1, "position": 0, "detail": None}]
    noted += [
        {"kind": "waiting", "seq": event.seq, "position": event.position, "detail": event.server}
        for event in events
        if isinstance(event, AnswerWaiting)
    ]
    return Told(number, len(events), "completed", None, "".join(pieces), noted, [])


class Views:
    """What is recorded of the turn, when somebody looks."""

    def __init__(self, told: Told | None = None) -> None:
        self.told, self.away, self.looks = told, False, 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def __call__(self) -> Told | None:
        self.looks += 1
        if self.away:
            raise Unavailable("postgres", "stopped")
        self.meanwhile()
        return self.told


class Heard:
    """A reader that runs beside the test, and everything it heard."""

    def __init__(self, answer: Answer, views: Views, place: Place = Place(), *, new: bool = False) -> None:  # noqa: B008
        self.frames: list[tuple[str, tuple[int, ...], dict[str, object]]] = []
        self.pings = 0
        reader = Reader(answer, place, views, Trouble())
        self.task = asyncio.create_task(self._run(reader, new))

    async def _run(self, reader: Reader, new: bool) -> None:
        async for chunk in reader.frames(new=new):
            self.pings += chunk.count(b": ping")
            for kind, *place, data in FRAME.findall(chunk):
                self.frames.append((kind.decode(), tuple(int(n) for n in place if n), orjson.loads(data)))

    async def settle(self) -> "Heard":
        """Lets the reader run as far as it can."""
        for _ in range(20):
            await asyncio.sleep(0)
        return self

    @property
    def kinds(self) -> list[str]:
        """What it heard, by name."""
        return [kind for kind, _, _ in self.frames]

    @property
    def text(self) -> str:
        """What it has in the end."""
        text = ""
        for kind, _, data in self.frames:
            text = "" if kind == "restart" else text + str(data["text"]) if kind == "delta" else text
        return text


async def test_what_is_new_is_heard_at_once_and_nobody_looks_into_the_views() -> None:
    answer, views = Answer(), Views()
    heard = Heard(answer, views, new=True)
    for event in attempt(7):
        answer.apply(event)
        await heard.settle()
    await asyncio.wait_for(heard.task, MOMENT)
    assert heard.kinds == ["queued", "retrieving", "delta", "delta", "delta", "delta", "ended"]
    assert heard.text == "".join(PIECES)
    assert heard.frames[-1][1] == (7, 6, len("".join(PIECES)))
    assert views.looks == 0


async def test_an_end_that_comes_while_somebody_looks_is_heard_at_once() -> None:
    answer, views = Answer(), Views()
    heard = Heard(answer, views, new=True)
    *said, end = attempt(7)
    for event in said:
        answer.apply(event)
    await heard.settle()
    views.meanwhile = lambda: answer.apply(end)  # no record yet, and the end passes by during the look
    answer.wake(False)
    await heard.settle()
    assert (views.looks, heard.kinds[-1]) == (1, "ended")
    await asyncio.wait_for(heard.task, MOMENT)


async def test_a_gap_holds_until_the_next_attempt() -> None:
    answer = Answer()
    heard = Heard(answer, Views(), new=True)
    first = attempt(7)
    for event in (*first[:3], *first[4:5]):
        answer.apply(event)
    await heard.settle()
    assert heard.text == "".join(PIECES[:2])
    for event in attempt(8):
        answer.apply(event)
    await asyncio.wait_for(heard.task, MOMENT)
    assert "restart" in heard.kinds
    assert heard.text == "".join(PIECES)


async def test_a_gap_that_no_attempt_fills_is_filled_from_the_record() -> None:
    answer, views = Answer(), Views()
    heard = Heard(answer, views, new=True)
    events = attempt(7)
    for event in (*events[:2], *events[4:]):
        answer.apply(event)
    await heard.settle()
    assert not heard.task.done()
    views.told = record(7)
    await asyncio.wait_for(heard.task, MOMENT)
    assert heard.text == "".join(PIECES)
    assert "restart" not in heard.kinds


async def test_an_end_whose_record_is_hidden_is_told_from_memory_after_a_while() -> None:
    """The conversation was deleted meanwhile, and this replica had missed something."""
    answer, views = Answer(), Views()
    heard = Heard(answer, views, new=True)
    events = attempt(7)
    for event in (*events[:2], *events[4:]):
        answer.apply(event)
    await asyncio.wait_for(heard.task, 6 * UNTOLD_SECONDS)
    assert heard.frames[-1] == ("ended", (7, 6, 21), {"status": "completed", "reason": None, "length": 21})
    assert heard.text == PIECES[0]


async def test_a_lower_attempt_that_still_speaks_is_not_heard() -> None:
    answer = Answer()
    heard = Heard(answer, Views(), new=True)
    old, new = attempt(7, ("never ", "mind")), attempt(8)
    for event in (old[0], *new[:3], old[1], old[2], *new[3:], old[3]):
        answer.apply(event)
        await heard.settle()
    await asyncio.wait_for(heard.task, MOMENT)
    assert heard.text == "".join(PIECES)


async def test_an_attempt_whose_beginning_was_not_seen_is_served_from_the_record() -> None:
    answer, views = Answer(), Views(record(7))
    for event in attempt(7)[3:]:
        answer.apply(event)
    heard = await Heard(answer, views).settle()
    await asyncio.wait_for(heard.task, MOMENT)
    assert heard.text == "".join(PIECES)


async def test_a_look_that_finds_the_database_away_says_so_once_and_goes_on() -> None:
    answer, views = Answer(), Views()
    views.away = True
    heard = await Heard(answer, views).settle()
    assert heard.frames[-1] == ("waiting", (), {"server": "postgres"})
    for _ in range(3):
        answer.wake(False)
        await heard.settle()
    assert heard.kinds.count("waiting") == 1
    assert heard.pings == 3
    views.away, views.told = False, record(7)
    answer.wake(False)
    await asyncio.wait_for(heard.task, MOMENT)
    assert heard.text == "".join(PIECES)


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.text(min_size=1, max_size=6), max_size=6),
    left=st.integers(0, 8),
    waits=st.integers(-1, 5),
    kept=st.booleans(),
    attempts=st.integers(1, 3),
    other=st.booleans(),
)
async def test_whoever_leaves_anywhere_has_every_character_once(
    pieces: list[str], left: int, waits: int, kept: bool, attempts: int, other: bool
) -> None:
    """In memory or from the record; the attempt that was left or a later one."""
    answer = Answer()
    events = attempt(7, pieces, waits_before=waits)
    for event in events[: min(left, len(events) - 1)]:
        answer.apply(event)
    before = await Heard(answer, Views(), new=True).settle()
    before.task.cancel()
    number = 7 + attempts * other
    if number != 7:
        pieces = [*pieces, "again"]
    if kept:
        for event in attempt(number, pieces, waits_before=waits):
            answer.apply(event)
    last = next((place for _, place, _ in reversed(before.frames) if place), (0, 0, 0))
    told = None if kept else record(number, pieces, waits_before=waits)
    after = Heard(answer if kept else Answer(), Views(told), Place(*last))
    await asyncio.wait_for(after.task, MOMENT)
    whole = "" if "restart" in after.kinds else before.text
    assert whole + after.text == "".join(pieces)
    heard = ([] if "restart" in after.kinds else before.frames) + after.frames
    seqs = [place for kind, place, _ in heard if place and kind not in ("queued", "restart")]
    assert seqs == sorted(set(seqs))
    assert heard[-1][0] == "ended"


@pytest.mark.parametrize("place", [Place(7, 99, 4), Place(7, 3, 999), Place(7, 5, 999), Place(7, 2, 999)])
@pytest.mark.parametrize("kept", ["running", "ended", "recorded"])
async def test_a_place_that_does_not_exist_is_answered_with_restart_and_the_whole(place: Place, kept: str) -> None:
    answer, views = Answer(), Views()
    events = attempt(7)
    for event in {"running": events[:2], "ended": events, "recorded": []}[kept]:
        answer.apply(event)
    views.told = record(7) if kept != "running" else None
    heard = await Heard(answer, views, place).settle()
    for event in events[2:] if kept == "running" else []:
        answer.apply(event)
        await heard.settle()
    views.told = record(7)
    await asyncio.wait_for(heard.task, MOMENT)
    assert heard.kinds.count("restart") == 1
    assert heard.text == "".join(PIECES)


def test_a_long_record_comes_in_parts_that_can_be_gone_on_from() -> None:
    text = "x" * 100_000
    told = Told(7, 9, "completed", None, text, [], [])
    frames = [
        (tuple(map(int, place)), orjson.loads(data)) for _, *place, data in FRAME.findall(b"".join(rest(told, Place())))
    ]
    assert len(frames) == 5
    middle = Place(*frames[1][0])
    after = FRAME.findall(b"".join(rest(told, middle)))
    assert sum(len(orjson.loads(data).get("text", "")) for *_, data in after) == len(text) - middle.position
