"""Statements that go together: who goes at once, who waits for whom, and whose failure is whose."""

import asyncio
from collections.abc import Sequence

import pytest

from infra.postgres.together import CLOSE_SECONDS, MOST, NEWEST_COUNTS, Together, columns
from schemas.errors import Unavailable

SECONDS = 10


class Database:
    """Doubles numbers; holds a statement until it is let go, refuses negative ones, and is away when told so."""

    def __init__(self) -> None:
        self.statements: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.away = False

    async def __call__(self, asked: Sequence[int]) -> list[int]:
        """One statement."""
        self.statements.append(list(asked))
        await asyncio.wait_for(self.go_on.wait(), SECONDS)
        if self.away:
            raise Unavailable("postgres", "away")
        if min(asked) < 0:
            raise ValueError("negative")
        return [2 * one for one in asked]

    def told(self) -> list[int]:
        """All that was asked, in its order."""
        return [one for statement in self.statements for one in statement]


async def begun(database: Database, together: Together[int, int], *asked: int) -> "list[asyncio.Task[int]]":
    """The first is under way, held; the others wait."""
    database.go_on.clear()
    tasks = [asyncio.create_task(together.do(one)) for one in asked]
    async with asyncio.timeout(SECONDS):
        while not database.statements:
            await asyncio.sleep(0)
    return tasks


async def test_who_comes_alone_goes_at_once_and_who_comes_meanwhile_goes_together_next() -> None:
    database = Database()
    tasks = await begun(database, Together(database), 1, 2, 3)
    assert database.statements == [[1]]
    database.go_on.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]
    assert database.statements == [[1], [2, 3]]


async def test_where_many_come_they_wait_for_each_other() -> None:
    database = Database()
    together = Together(database)
    async with asyncio.timeout(SECONDS):
        for n in range(100):  # each as soon as the one before it has gone
            assert await together.do(n) == 2 * n
        one_by_one = len(database.statements)
        assert await asyncio.gather(*(together.do(n) for n in range(20))) == [2 * n for n in range(20)]
    assert len(database.statements) == one_by_one + 1


async def test_after_a_silence_whoever_comes_comes_alone() -> None:
    database = Database()
    together = Together(database)
    for n in range(100):
        await together.do(n)
    await asyncio.sleep(2 * CLOSE_SECONDS / NEWEST_COUNTS)  # one such silence outweighs all that came before
    lone = asyncio.create_task(together.do(7))
    await asyncio.sleep(0)
    assert database.statements[-1] == [7]
    assert await lone == 14


async def test_one_statement_holds_so_many_and_the_others_follow() -> None:
    database = Database()
    tasks = await begun(database, Together(database), *range(MOST + 6))
    database.go_on.set()
    assert await asyncio.gather(*tasks) == [2 * n for n in range(MOST + 6)]
    assert [len(statement) for statement in database.statements] == [1, MOST, 5]


async def test_what_one_sent_fails_nobody_else() -> None:
    database = Database()
    tasks = await begun(database, Together(database), 1, 2, -3, 4)
    database.go_on.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [found[0], found[1], found[3]] == [2, 4, 8]
    assert isinstance(found[2], ValueError)


async def test_a_database_that_is_away_is_told_to_each_and_asked_once_for_all() -> None:
    database = Database()
    tasks = await begun(database, Together(database), 1, 2, 3)
    database.away = True
    database.go_on.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable] * 3
    assert database.statements == [[1], [2, 3]]


async def test_who_gives_up_takes_nobody_along() -> None:
    database = Database()
    together = Together(database)
    first, second, third = await begun(database, together, 1, 2, 3)
    second.cancel()
    first.cancel()  # the one whose statement is under way
    with pytest.raises(asyncio.CancelledError):
        await first
    database.go_on.set()
    async with asyncio.timeout(SECONDS):
        assert await third == 6
        assert await together.do(4) == 8
    assert 2 not in database.told()


def test_rows_become_an_array_for_each_column() -> None:
    assert columns([(1, "a"), (2, None)]) == [[1, 2], ["a", None]]
