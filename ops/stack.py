"""The whole local stack as one thing to run: fetch, start side by side, provision, keep up, stop in order."""

import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infra.kafka.local import kafka
from infra.local.forks import Forks
from infra.local.launch import end_leftover, prepare, spawn
from infra.local.local import Local
from infra.local.ports import check_free
from infra.local.server import Server
from infra.local.supervisor import Job, Say, Supervisor
from infra.opensearch.local import opensearch
from infra.postgres.local import postgres
from infra.registry.local import registry
from infra.triton.local import triton
from ops.child import child
from ops.fetch import complete, parts
from ops.installation import Installation
from ops.processes import OURS, Ours, process, provisioning
from schemas.errors import Invalid, Unavailable

DATA_BYTES = 300_000_000
PROVISION_SECONDS = 180


@dataclass(frozen=True)
class Recipe:
    """How a server is made, and of which parts."""

    name: str
    make: Callable[[Local], Server]
    parts: tuple[str, ...]
    after: tuple[str, ...] = ()


SERVERS = (
    Recipe("opensearch", opensearch, ("jvm", "opensearch")),
    Recipe("kafka", kafka, ("jvm", "kafka")),
    Recipe("postgres", postgres, ("postgres",)),
    Recipe("registry", registry, ("jvm", "registry"), after=("postgres",)),
    Recipe("triton", triton, ("triton", "model")),
)


class Stack:
    """Servers, and our processes when asked for, of one installation."""

    def __init__(self, installation: Installation, say: Say, *, ours: tuple[Ours, ...] = OURS) -> None:
        self.installation, self._say, self._ours = installation, say, ours
        self._there: dict[str, asyncio.Event] = {part.name: asyncio.Event() for part in parts()}
        self._local = installation.local
        self.supervisor = Supervisor([*self._server_jobs(), *self._our_jobs()], say)
        self.provisioned = asyncio.Event()

    @cached_property
    def _forks(self) -> Forks:
        return Forks("ops.preload")  # a process has one fork server: none is named unless something of ours runs

    def _server_jobs(self) -> list[Job]:
        def job(recipe: Recipe) -> Job:
            async def make() -> Server:
                await self._until_there(*recipe.parts)
                return recipe.make(self._local)

            return Job(recipe.name, make, after=recipe.after, uses=recipe.after)

        return [job(recipe) for recipe in SERVERS]

    def _our_jobs(self) -> list[Job]:
        def job(ours: Ours) -> Job:
            async def make() -> Server:
                await self._until_there(*self._there)
                return process(self.installation, ours, self._forks)

            return Job(ours.name, make, uses=tuple(recipe.name for recipe in SERVERS), first_starts=3)

        return [job(ours) for ours in self._ours]

    async def _until_there(self, *names: str) -> None:
        for name in names:
            await self._there[name].wait()

    async def check(self) -> None:
        """Ends what an earlier run left, then looks at ports and disk; raises Invalid."""
        folder = self.installation.folder
        for pid_file in (*self._local.data.glob("*/pid"), *(folder / "processes").glob("*/pid")):
            await end_leftover(pid_file.parent, self._say)
        wanted: dict[str, int] = {}
        for name in self.supervisor.jobs:
            wanted |= self._local.ports.of(name)
        check_free(wanted)
        free = shutil.disk_usage(self._local.data).free
        if free < DATA_BYTES:
            raise Invalid(
                f"{self._local.data} has {free / 1e6:.0f} MB free, {DATA_BYTES / 1e6:.0f} MB are needed: make room"
            )

    async def run(self) -> None:
        """Runs until cancelled; raises WouldNotStart, Invalid or Unavailable when something does not come up."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fetch())
                group.create_task(self.supervisor.keep())
                if self._ours:
                    group.create_task(self._provision())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several

    async def until_ready(self) -> None:
        """Waits until every process is ready and everything is provisioned."""
        await self.supervisor.until_ready()
        if self._ours:
            await self.provisioned.wait()

    async def stop(self) -> None:
        """Stops all in order; what Java learnt about its classes is kept for the next new installation."""
        await self.supervisor.stop()
        if self._ours:
            await asyncio.to_thread(self._forks.close)
        with suppress(OSError):
            await asyncio.to_thread(self._local.keep_archives)

    def _arrived(self, name: str, folder: Path) -> None:
        self._local.parts[name] = folder
        if name == "model":
            self.installation.write_environment()
        self._there[name].set()

    async def _fetch(self) -> None:
        for name, folder in (await asyncio.to_thread(complete)).items():
            self._arrived(name, folder)
        if len(self._local.parts) == len(self._there):
            return
        async with child("ops.fetch", environment=os.environ) as fetcher:
            assert fetcher.stdout is not None
            async for line in fetcher.stdout:
                name, _, path = line.decode().strip().partition("\t")
                self._arrived(name, Path(path))
            if await fetcher.wait():
                raise Unavailable(
                    "package registry", "not everything could be fetched (see above); run again to go on from here"
                )

    async def _provision(self) -> None:
        await self._until_there(*self._there)
        server = provisioning(self.installation, self._forks, PROVISION_SECONDS)
        await prepare(server)
        running = await spawn(server)
        try:
            code = await running.wait()
        finally:
            await running.kill()
        lines = running.started.said().splitlines()
        if code:
            raise Invalid("provisioning failed:\n" + "\n".join(lines[-15:]))
        self._say(lines[-1])
        self.provisioned.set()
