"""A block of load on one subject: times, faults, CPU, and what the rest of the machine did meanwhile."""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.http import Connection, Stream
from benchmarks.race.subject import Chunks, Subject
from benchmarks.race.tokens import Faults, Schedule, faults
from benchmarks.turns import Block, Turn, closed_loop
from infra.local.processes import usage_of

SCHEDULE = Schedule()


@dataclass
class Load(Block):
    """All blocks of one subject with so many clients. `others` is the CPU of whoever has no part in this."""

    faults: Faults = field(default_factory=Faults)
    failed: int = 0
    cpu: dict[str, float] = field(default_factory=dict)
    others: float = 0.0
    busiest: float = 0.0

    def note(self, stream: Stream) -> None:
        """Counts a finished stream; one that said nothing is a failure."""
        if not stream.texts:
            self.failed += 1
            return
        found = faults("".join(stream.texts), SCHEDULE.count)
        self.faults += found
        self.wrong += bool(found)
        self.firsts.append(stream.first - stream.asked)
        self.gaps.append(stream.longest_gap)


async def run(subject: Subject, upstream: int, clients: int, seconds: float, load: Load) -> None:
    """One block, added to `load`; `upstream` is the process of the mock model."""
    before, all_before = subject.cpu_seconds(), machine_cpu_seconds()
    ours_before = _own_cpu_seconds(upstream)
    await closed_loop(_caller(subject), clients, seconds, load)
    spent = {name: value - before.get(name, 0.0) for name, value in subject.cpu_seconds().items()}
    for name, value in spent.items():
        load.cpu[name] = load.cpu.get(name, 0.0) + value
    known = sum(spent.values()) + _own_cpu_seconds(upstream) - ours_before
    load.others += max(0.0, machine_cpu_seconds() - all_before - known)
    load.busiest = max(load.busiest, os.getloadavg()[0])


def machine_cpu_seconds() -> float:
    """Seconds that the cores were busy since boot, also with what a hypervisor took."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _own_cpu_seconds(upstream: int) -> float:
    return usage_of(upstream).cpu_seconds + time.process_time()


def _caller(subject: Subject) -> Callable[[], Awaitable[Turn]]:
    async def make() -> Turn:
        connection = await Connection.open(subject.url)

        async def turn() -> Stream:
            nonlocal connection
            chunks = Chunks(Stream())
            try:
                (await subject.ask(connection, SCHEDULE, chunks)).raise_for_status()
            except (OSError, RuntimeError):  # its tokens are lost, and counted so
                connection.close()
                connection = await Connection.open(subject.url)
            return chunks.stream

        return turn

    return make
