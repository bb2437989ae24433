"""The path of a turn beside the same model called directly: first delta, turns/s, CPU, in alternating blocks."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from benchmarks.figures import percentile
from benchmarks.http import Connection, Stream
from benchmarks.target import Target

WORDS, DELAY_MS = 64, 5
QUESTION = f"words: count={WORDS} delay_ms={DELAY_MS}"
EXPECTED = " ".join(f"w{n}" for n in range(1, WORDS + 1))
TURNS_A_CONVERSATION = 4

Turn = Callable[[], Awaitable[Stream]]


@dataclass
class Block:
    """What one block of load came to."""

    seconds: float = 0.0
    firsts: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    wrong: int = 0

    @property
    def turns_per_second(self) -> float:
        """Whole turns a second."""
        return len(self.firsts) / self.seconds if self.seconds else 0.0

    def note(self, stream: Stream) -> None:
        """Counts a finished stream; its text must be exactly the model's."""
        if "".join(stream.texts).strip() != EXPECTED:
            self.wrong += 1
        self.firsts.append(stream.first - stream.asked)
        self.gaps.append(stream.longest_gap)


async def closed_loop(make: Callable[[], Awaitable[Turn]], clients: int, seconds: float, block: Block) -> None:
    """`clients` callers, each asking again as soon as it has its answer, for some seconds, noted in `block`.

    They begin one after another over the length of a turn: a crowd of first questions is no steady load.
    """
    turns = await asyncio.gather(*(make() for _ in range(clients)))
    started = time.perf_counter()

    async def caller(number: int, turn: Turn) -> None:
        await asyncio.sleep(WORDS * DELAY_MS / 1000 * number / clients)
        while time.perf_counter() - started < seconds:
            block.note(await turn())

    await asyncio.gather(*(caller(number, turn) for number, turn in enumerate(turns)))
    block.seconds += time.perf_counter() - started


def through_turnlog(target: Target) -> Callable[[], Awaitable[Turn]]:
    """A caller of `POST /v1/conversations/{id}/turns` that streams; a new conversation every few turns, counted in."""

    async def make() -> Turn:
        connection = await Connection.open(target.api_url)
        asked = 0
        conversation = ""

        async def turn() -> Stream:
            nonlocal asked, conversation
            if asked % TURNS_A_CONVERSATION == 0:
                made = await connection.request("POST", "/v1/conversations", target.headers, b"{}")
                conversation = made.json()["conversation_id"]
            asked += 1
            stream = Stream()
            body = orjson.dumps({"question": QUESTION, "model": "words"})
            path = f"/v1/conversations/{conversation}/turns"
            headers = target.headers | {"accept": "text/event-stream"}
            answer = await connection.request("POST", path, headers, body, stream.sse("text"))
            if answer.status >= 400:
                answer.json()
            return stream

        return turn

    return make


def direct(target: Target) -> Callable[[], Awaitable[Turn]]:
    """A caller of the same model at Triton's own streaming endpoint."""

    async def make() -> Turn:
        connection = await Connection.open(target.triton_url)

        async def turn() -> Stream:
            stream = Stream()
            body = orjson.dumps({"text_input": QUESTION, "stream": True, "exclude_input_in_output": True})
            headers = {"content-type": "application/json"}
            path = "/v2/models/words/generate_stream"
            await connection.request("POST", path, headers, body, stream.sse("text_output"))
            return stream

        return turn

    return make


async def measure(target: Target, clients: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Alternating blocks of both, so that a noisy neighbour meets both."""
    ours, bare = Block(), Block()
    cpu: dict[str, float] = {}
    for _ in range(rounds):
        await closed_loop(direct(target), clients, seconds, bare)
        before = target.cpu_seconds()
        await closed_loop(through_turnlog(target), clients, seconds, ours)
        for name, value in target.cpu_seconds().items():
            cpu[name] = cpu.get(name, 0.0) + value - before.get(name, 0.0)
    return _row(clients, ours, bare, cpu)


def _row(clients: int, ours: Block, bare: Block, cpu: dict[str, float]) -> dict[str, Any]:
    thousands = max(len(ours.firsts) * WORDS / 1000, 0.001)
    row: dict[str, Any] = {"clients": clients, "turns": len(ours.firsts), "wrong": ours.wrong}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        theirs = percentile(bare.firsts, share)
        row[f"added_first_delta_{name}_ms"] = round((percentile(ours.firsts, share) - theirs) * 1000, 1)
        row[f"direct_first_{name}_ms"] = round(theirs * 1000, 1)
    row["gap_p99_ms"] = round(percentile(ours.gaps, 0.99) * 1000, 1)
    row["turns_per_s"] = round(ours.turns_per_second, 1)
    row["of_direct"] = round(ours.turns_per_second / bare.turns_per_second, 3) if bare.turns_per_second else 0
    row["cpu_s_per_1000_pieces"] = round(sum(cpu.values()) / thousands, 3)
    row["cpu_ms_per_turn"] = {name: round(value / max(len(ours.firsts), 1) * 1000, 2) for name, value in cpu.items()}
    return row
