"""Places among the running answers: first come, first served; who must end, or is cancelled, takes none."""

import asyncio
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace
from typing import Any

from infra.kafka.records import Received
from infra.models import Alias, Models
from infra.settings import Limits
from schemas.event import now_ms
from schemas.turns import Parameters, TurnRequested
from streams.chat.answer_turn import AttemptOver, answer_turn
from streams.chat.ending import Ending
from streams.chat.places import Places
from streams.chat.rights import Rights
from streams.chat.stops import Stops
from streams.chat.turns import Claim
from tests.examples import example


def places(running: int) -> Places:
    """Places of one model."""
    alias = Alias(
        name="m",
        provider="p",
        model="m",
        about="",
        collections=None,
        passages=0,
        parameters=Parameters(),
        running=running,
    )
    return Places(Models(default="m", servers=MappingProxyType({}), aliases=MappingProxyType({"m": alias})))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Turn:
    """A turn that takes a place and keeps it until it is told."""

    def __init__(self, among: Places, begun: list[int], number: int) -> None:
        self.ending, self.over = Ending(), asyncio.Event()
        self.task = asyncio.create_task(self._run(among, begun, number))

    async def _run(self, among: Places, begun: list[int], number: int) -> None:
        async with among.one("m", self.ending):
            begun.append(number)
            await self.over.wait()


async def test_places_are_taken_in_order_and_given_on() -> None:
    among, begun = places(2), list[int]()
    turns = [Turn(among, begun, n) for n in range(4)]
    await settle()
    assert begun == [0, 1]
    turns[1].over.set()
    await settle()
    assert begun == [0, 1, 2]
    for turn in turns:
        turn.over.set()
    await asyncio.gather(*(turn.task for turn in turns))


async def test_a_stop_reaches_a_turn_that_waits_for_its_place() -> None:
    among, begun = places(1), list[int]()
    running, waiting, next_one = (Turn(among, begun, n) for n in range(3))
    await settle()
    waiting.ending.now("stopped")
    await settle()
    assert begun == [0, 1]
    running.over.set()
    await settle()
    assert begun == [0, 1, 2], "the place was lost with the turn that needed none"
    for turn in (waiting, next_one):
        turn.over.set()
        await turn.task


async def test_a_cancelled_turn_takes_no_place_with_it() -> None:
    among, begun = places(1), list[int]()
    running, lost, next_one = (Turn(among, begun, n) for n in range(3))
    await settle()
    lost.task.cancel()
    await settle()
    running.task.cancel()
    await settle()
    assert begun == [0, 2]
    next_one.over.set()
    await next_one.task


async def test_whoever_waits_for_a_server_gives_its_place_to_others() -> None:
    among, begun, ending = places(1), list[int](), Ending()
    async with among.one("m", ending) as place:
        other = Turn(among, begun, 1)
        await settle()
        assert begun == []
        place.leave()
        await settle()
        assert begun == [1]
        back = asyncio.create_task(place.take(ending))
        await settle()
        assert not back.done()
        other.over.set()
        await asyncio.wait_for(back, 1)


async def test_whoever_backs_off_after_an_attempt_that_broke_off_gives_its_place_to_others() -> None:
    """Postgres and the model are left out: each claim succeeds, and each attempt breaks off at once."""
    among, begun, attempts = places(1), list[int](), asyncio.Queue[str]()
    event = replace(example(TurnRequested), model="m", deadline=now_ms() + 60_000)

    async def claim(_: Any) -> Claim:
        return Claim(
            event.turn_id,
            event.conversation_id,
            1,
            0,
            stopped=False,
            parent_turn_id=None,
            claimed_at=0,
            rights=Rights((), False, {}),
        )

    async def breaks_off(point: str) -> None:
        attempts.put_nowait(point)
        raise AttemptOver

    turns: Any = SimpleNamespace(claim=claim)
    here: Any = SimpleNamespace(freshness=SimpleNamespace(went_back=False), stops=Stops(turns), places=among)
    chat: Any = SimpleNamespace(limits=Limits(), turns=turns, reached=breaks_off, **vars(here))
    broken = asyncio.create_task(answer_turn(Received(event, "turns", 0, 0, b"k", 0), chat))
    async with asyncio.timeout(60):
        await attempts.get()
        other = Turn(among, begun, 1)
        await settle()
        assert begun == [1]
        other.over.set()
        await attempts.get()
    broken.cancel()
    await asyncio.wait([broken])
