"""What is remembered of callers: one look-up for many, and nothing from before a change of rights."""

import asyncio

import pytest

from api.remembered import Remembered
from infra.postgres.freshness import Freshness
from schemas.errors import Unavailable


class Source:
    """Answers look-ups when it is told to, with what it knew when each of them began."""

    def __init__(self) -> None:
        self.value: str | None = "old"
        self.asked = 0
        self.broken = False
        self.open = asyncio.Event()

    async def look_up(self, key: str) -> str | None:
        self.asked += 1
        value = self.value
        await self.open.wait()
        if self.broken:
            raise Unavailable("postgres", "away")
        return value and f"{key} {value}"


class Changes(Freshness):
    """Folds a change of rights when told to."""

    def fold(self) -> None:
        self._learn({("access-changes", 0): 1})


async def begun(*finding: "asyncio.Task[str | None]") -> None:
    """Lets tasks run up to where they wait."""
    for _ in range(3 + len(finding)):
        await asyncio.sleep(0)


async def test_many_who_ask_at_once_make_one_look_up_a_key() -> None:
    source = Source()
    remembered = Remembered(Changes(), source.look_up)
    finding = [asyncio.create_task(remembered.find(key)) for key in "aabaab"]
    await begun(*finding)
    source.open.set()
    assert await asyncio.gather(*finding) == ["a old", "a old", "b old", "a old", "a old", "b old"]
    assert await remembered.find("a") == "a old"
    assert source.asked == 2


async def test_whoever_asks_after_a_change_hears_nothing_from_before_it() -> None:
    source, changes = Source(), Changes()
    remembered = Remembered(changes, source.look_up)
    before = asyncio.create_task(remembered.find("a"))
    await begun(before)
    source.value = "new"
    changes.fold()
    after = asyncio.create_task(remembered.find("a"))
    await begun(after)
    source.open.set()
    assert (await before, await after) == ("a old", "a new")
    assert await remembered.find("a") == "a new"


async def test_one_that_leaves_takes_nobody_with_it() -> None:
    source = Source()
    remembered = Remembered(Changes(), source.look_up)
    first, second = (asyncio.create_task(remembered.find("a")) for _ in range(2))
    await begun(first, second)
    first.cancel()
    source.open.set()
    assert await second == "a old"
    assert source.asked == 1


async def test_a_look_up_that_failed_is_made_anew_and_what_is_not_there_is_not_remembered() -> None:
    source = Source()
    remembered = Remembered(Changes(), source.look_up)
    source.broken = True
    source.open.set()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await remembered.find("a")
    source.broken, source.value = False, None
    assert [await remembered.find("a"), await remembered.find("a")] == [None, None]
    assert source.asked == 4
