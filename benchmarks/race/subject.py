"""Whom the race asks: anybody who speaks OpenAI's protocol, with the processes that it costs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import orjson

from benchmarks.http import Answer, Connection, OnData, Stream
from benchmarks.race.tokens import Schedule
from infra.local.processes import usage_of

Recover = Callable[[str], Awaitable[str]]


async def nothing(_: str) -> str:
    """What somebody can still say of an answer who keeps none."""
    return ""


@dataclass(frozen=True)
class Subject:
    """`recover`: from the id of a completion, the text that can still be read of it.

    `detach`: headers that ask for the answer to go on though nobody reads it.
    """

    name: str
    url: str
    path: str
    headers: Mapping[str, str]
    pids: Mapping[str, int]
    recover: Recover = nothing
    detach: Mapping[str, str] = field(default_factory=dict)

    def cpu_seconds(self) -> dict[str, float]:
        """So far, of each of its process trees."""
        return {name: usage_of(pid).cpu_seconds for name, pid in self.pids.items()}

    def pss_mb(self) -> int:
        """Memory of all of them; pages that several share count once."""
        return sum(usage_of(pid).pss_mb for pid in self.pids.values())

    def ask(
        self, connection: Connection, schedule: Schedule, on_data: OnData, extra: Mapping[str, str] | None = None
    ) -> Awaitable[Answer]:
        """Begins a streamed completion."""
        message = {"role": "user", "content": schedule.question}
        body = orjson.dumps({"model": "race", "stream": True, "messages": [message]})
        headers = {"content-type": "application/json", **self.headers, **(extra or {})}
        return connection.request("POST", self.path, headers, body, on_data)


class Chunks:
    """Reads the chunks of a completion: its texts go to `stream`, its id is kept."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.id = stream, ""

    def __call__(self, data: bytes) -> None:
        *lines, self.stream.rest = (self.stream.rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                self._take(orjson.loads(line[6:]))

    def _take(self, chunk: dict[str, object]) -> None:
        self.id = self.id or str(chunk.get("id", ""))
        match chunk:
            case {"choices": [{"delta": {"content": str(text)}}, *_]} if text:
                self.stream.piece(text)

    @property
    def text(self) -> str:
        """So far."""
        return "".join(self.stream.texts)
