"""Where the time to our first token goes: the client's clock beside the times that each record keeps.

Records keep whole milliseconds, so half of one is added where they stand beside a finer clock.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import spread
from benchmarks.http import Connection, Stream
from benchmarks.race.load import SCHEDULE
from benchmarks.race.subject import Chunks, Subject
from benchmarks.target import Target

HALF_MS = 0.5


@dataclass(frozen=True)
class Heard:
    """A turn as its client saw it; ms since the Unix epoch."""

    turn_id: str
    asked_at: float
    first_at: float


async def measure(target: Target, subject: Subject, clients: int, seconds: float) -> list[dict[str, Any]]:
    """A row a stage, in flow order."""
    end = time.perf_counter() + seconds
    length = SCHEDULE.count * SCHEDULE.apart_ms / 1000  # they begin one after another, not as a crowd
    asking = [_ask(subject, length * number / clients, end) for number in range(clients)]
    heard = [each for many in await asyncio.gather(*asking) for each in many]
    stages: dict[str, list[float]] = {}
    for each in heard:
        turn = await target.ask("GET", f"/v1/turns/{each.turn_id}")
        for name, spent in _stages(each, turn["timings"]).items():
            stages.setdefault(name, []).append(spent / 1000)
    return [{"clients": clients, "stage": name, **spread(spent)} for name, spent in stages.items()]


def _stages(heard: Heard, at: dict[str, int]) -> dict[str, float]:
    """Milliseconds."""
    return {
        "request read, key, limits": at["requested_at"] + HALF_MS - heard.asked_at,
        "row, record, worker has it": at["claimed_at"] - at["requested_at"],
        "claim, prompt, model's server": at["first_piece_at"] - at["claimed_at"] - SCHEDULE.first_ms,
        "delta sent, read back, told": heard.first_at - at["first_piece_at"] - HALF_MS,
    }


async def _ask(subject: Subject, wait_seconds: float, end: float) -> list[Heard]:
    await asyncio.sleep(wait_seconds)
    connection, heard = await Connection.open(subject.url), list[Heard]()
    ahead = time.time() - time.perf_counter()
    while time.perf_counter() < end:
        chunks = Chunks(Stream())
        (await subject.ask(connection, SCHEDULE, chunks)).raise_for_status()
        asked_at, first_at = ((ahead + moment) * 1000 for moment in (chunks.stream.asked, chunks.stream.first))
        heard.append(Heard(chunks.id.removeprefix("chatcmpl-"), asked_at, first_at))
    connection.close()
    return heard
