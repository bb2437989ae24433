"""Readers cut in mid-stream: what can still be read of their answers, and whether the model hears that they left."""

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import percentile
from benchmarks.http import Connection, Stream
from benchmarks.race.subject import Chunks, Subject
from benchmarks.race.tokens import Schedule, faults

READERS = 20
RECOVERED_LATER_SECONDS = 3
HEARD_SECONDS = 12
ENDS_ANYWAY = Schedule(count=300)
TOO_LONG = Schedule(count=6000)
CUT_AFTER = 60


@dataclass
class Cut:
    """One reader: what it had when it was cut, and when that was (`time.monotonic`)."""

    name: str
    chunks: Chunks
    at: float = 0.0


async def measure(subjects: list[Subject], upstream_url: str) -> list[dict[str, Any]]:
    """A row a subject; all at once, since nothing here is a matter of milliseconds."""
    return list(await asyncio.gather(*(_of(subject, upstream_url) for subject in subjects)))


async def _of(subject: Subject, upstream_url: str) -> dict[str, Any]:
    detached = await _cut(subject, ENDS_ANYWAY, detach=True)
    await asyncio.sleep(ENDS_ANYWAY.count * ENDS_ANYWAY.apart_ms / 1000 + RECOVERED_LATER_SECONDS)
    recovered = [await subject.recover(cut.chunks.id) for cut in detached]
    left = await _cut(subject, TOO_LONG, detach=False)
    heard = await _heard(upstream_url, left)
    return {
        "subject": subject.name,
        "cut": len(detached),
        "had_tokens_p50": percentile([len(cut.chunks.text.split()) for cut in detached], 0.5),
        "recovered_whole": sum(not faults(text, ENDS_ANYWAY.count) for text in recovered),
        "left": len(left),
        "model_saw_stop": len(heard),
        "after_s_p50": round(percentile(heard, 0.5), 2) if heard else None,
        "after_s_max": round(max(heard), 2) if heard else None,
    }


async def _cut(subject: Subject, schedule: Schedule, *, detach: bool) -> list[Cut]:
    return list(await asyncio.gather(*(_one(subject, schedule, detach) for _ in range(READERS))))


async def _one(subject: Subject, schedule: Schedule, detach: bool) -> Cut:
    """Reads so many tokens and hangs up without a word."""
    name = secrets.token_hex(8)
    cut, enough = Cut(name, Chunks(Stream())), asyncio.Event()

    def take(data: bytes) -> None:
        cut.chunks(data)
        if len(cut.chunks.stream.texts) and len(cut.chunks.text.split()) >= CUT_AFTER:
            enough.set()

    asked = Schedule(schedule.count, schedule.first_ms, schedule.apart_ms, name)
    connection = await Connection.open(subject.url)
    answer = asyncio.ensure_future(subject.ask(connection, asked, take, subject.detach if detach else {}))
    reading = asyncio.ensure_future(enough.wait())
    await asyncio.wait({answer, reading}, return_when=asyncio.FIRST_COMPLETED)
    reading.cancel()
    connection.close()
    cut.at = time.monotonic()
    with suppress(OSError):
        await answer
    return cut


async def _heard(upstream_url: str, cuts: list[Cut]) -> list[float]:
    """After how many seconds the model's server saw each of them leave, of those that it did."""
    at = {cut.name: cut.at for cut in cuts}
    end = time.monotonic() + HEARD_SECONDS
    while True:
        connection = await Connection.open(upstream_url)
        seen = (await connection.request("GET", "/left", {})).json()
        connection.close()
        heard = [each["at"] - at[each["name"]] for each in seen if each["name"] in at]
        if len(heard) == len(cuts) or time.monotonic() > end:
            return heard
        await asyncio.sleep(0.2)
