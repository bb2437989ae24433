"""The end of what is not wanted any more."""

import asyncio

from infra.waiting import end

SECONDS = 10


async def deaf(times: int) -> None:
    """Loses so many cancellations, as `asyncio.wait_for` does where they come together with a result."""
    for _ in range(times):
        try:
            await asyncio.sleep(SECONDS)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(SECONDS)


async def test_a_cancellation_that_is_lost_is_said_again() -> None:
    tasks = [asyncio.create_task(deaf(times)) for times in (0, 1, 2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(SECONDS):
        await end(tasks, again_seconds=0.05)
    assert all(task.cancelled() for task in tasks)


async def test_what_ended_by_itself_or_failed_is_ended() -> None:
    async def fail() -> None:
        raise ValueError

    tasks = [asyncio.create_task(each) for each in (fail(), asyncio.sleep(0))]
    await asyncio.wait(tasks)
    async with asyncio.timeout(SECONDS):
        await end([*tasks, asyncio.create_task(fail())])
        await end([])
