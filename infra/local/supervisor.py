"""Keeps processes running: starts each when its needs are there, restarts with back-off, stops all in order."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from infra.local.launch import Running, prepare, spawn, until_ready
from infra.local.processes import Usage, kill_group, usage_of
from infra.local.server import Server, WouldNotStart, last_lines

Say = Callable[[str], None]
STEADY_SECONDS = 60.0
STOP_SECONDS = 27.0
SAFETY_STOP = 78  # EX_CONFIG: a process of ours that ends with it stopped on purpose, and people must look first


@dataclass
class Job:
    """One process through its lives. `after`: starts when those are ready. `uses`: is stopped before those."""

    name: str
    make: Callable[[], Awaitable[Server]]
    after: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    first_starts: int = 1  # so many tries to come up for the first time
    running: Running | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    seconds: float = 0.0  # that the last start took
    ready_at: float = 0.0  # of the last start, monotonic; 0: it was never ready
    failures: int = 0


class Supervisor:
    """Owns the jobs of one installation."""

    def __init__(self, jobs: list[Job], say: Say) -> None:
        self.jobs = {job.name: job for job in jobs}
        self._say = say
        for job in jobs:
            job.wanted.set()

    async def keep(self) -> None:
        """Runs all jobs for ever; raises WouldNotStart when one does not come up the first time."""
        try:
            async with asyncio.TaskGroup() as group:
                for job in self.jobs.values():
                    group.create_task(self._keep(job), name=job.name)
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several

    async def until_ready(self, *names: str) -> None:
        """Waits for these jobs, or for all."""
        for name in names or tuple(self.jobs):
            await self.jobs[name].ready.wait()

    async def _keep(self, job: Job) -> None:
        server = await job.make()
        while True:
            await job.wanted.wait()
            for name in job.after:
                await self.jobs[name].ready.wait()
            try:
                running = await self._start(job, server)
            except WouldNotStart as exc:
                await self._failed(job, exc)
                continue
            code = await running.wait()
            job.ready.clear()
            if job.wanted.is_set():
                await self._ended(job, running, code)

    async def _start(self, job: Job, server: Server) -> Running:
        begun = time.monotonic()
        await prepare(server)
        job.running = await spawn(server)
        try:
            await until_ready(job.running)
        except WouldNotStart:
            await job.running.kill()
            raise
        job.ready_at = time.monotonic()
        job.seconds = job.ready_at - begun
        job.ready.set()
        self._say(f"{job.name}: ready after {job.seconds:.1f} s")
        return job.running

    async def _failed(self, job: Job, exc: WouldNotStart) -> None:
        """Gives up when the job never ran; else waits and lets it be tried again."""
        said = job.running.started.said() if job.running else ""
        passes = job.running is not None and any(words in said for words in job.running.server.passing)
        if not job.wanted.is_set():
            return
        job.failures += 1
        for_safety = job.running is not None and job.running.process.returncode == SAFETY_STOP
        if not job.ready_at and not passes and (for_safety or job.failures >= job.first_starts):
            raise exc
        if for_safety:
            self._stopped_for_safety(job, last_lines(said, 5))
            return
        if not passes:
            self._say(f"{exc}")
        await asyncio.sleep(0.2 if passes else _backoff_seconds(job))

    async def _ended(self, job: Job, running: Running, code: int) -> None:
        """A job that was ready has ended by itself."""
        await running.kill()
        said = last_lines(running.started.said_last(), 5)
        if code == SAFETY_STOP:
            self._stopped_for_safety(job, said)
            return
        steady = time.monotonic() > job.ready_at + STEADY_SECONDS
        job.failures = 1 if steady else job.failures + 1
        self._say(f"{job.name}: ended with {code}, starting it again. Its last lines:\n{said}")
        await asyncio.sleep(_backoff_seconds(job))

    def _stopped_for_safety(self, job: Job, said: str) -> None:
        job.wanted.clear()
        self._say(f"{job.name}: stopped itself for safety and is not started again. Its last lines:\n{said}")

    async def hold(self, name: str, *, kill: bool = False) -> None:
        """Stops one job and keeps it stopped, until `release`."""
        job = self.jobs[name]
        job.wanted.clear()
        job.ready.clear()
        if job.running:
            await (job.running.kill() if kill else job.running.stop())

    async def release(self, name: str) -> None:
        """Lets a held job start again, and waits until it is ready."""
        self.jobs[name].wanted.set()
        await self.jobs[name].ready.wait()

    async def stop(self) -> None:
        """Stops all within half a minute: whoever uses a job goes before it."""
        end = time.monotonic() + STOP_SECONDS
        gone = {name: asyncio.Event() for name in self.jobs}

        async def stop(job: Job) -> None:
            for other in self.jobs.values():
                if job.name in other.uses:
                    await gone[other.name].wait()
            job.wanted.clear()
            if job.running:
                begun = time.monotonic()
                word = "stopped" if await job.running.stop(max(1, end - begun)) else "killed"
                self._say(f"{job.name}: {word} after {time.monotonic() - begun:.1f} s")
            gone[job.name].set()

        async with asyncio.TaskGroup() as group:
            for job in self.jobs.values():
                group.create_task(stop(job))

    def kill(self) -> None:
        """Ends everything at once."""
        for job in self.jobs.values():
            if job.running and job.running.process.returncode is None:
                kill_group(job.running.process.pid)

    def usage(self) -> dict[str, tuple[Job, Usage]]:
        """What each running job takes now."""
        running = [job for job in self.jobs.values() if job.running and job.ready.is_set()]
        return {job.name: (job, usage_of(job.running.started.pid)) for job in running if job.running}


def _backoff_seconds(job: Job) -> float:
    longest = min(30.0, 0.5 * 2.0 ** min(job.failures - 1, 8))
    return random.uniform(longest / 2, longest)
