"""Workers to kill, the load they get, and what can be said of it after: lost, twice, out of order, at once."""

import asyncio
import collections
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from infra.kafka.publisher import Publisher
from infra.settings import Settings
from schemas.codec import Codec
from schemas.documents import DocumentRemoved, DocumentWithdrawn, Source
from schemas.event import Event
from tests.environment import environment
from tests.kafka_reading import all_of
from topics.catalogue import DOCUMENT_STATUS, DOCUMENTS, Topic

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Line:
    """One thing that a worker wrote down."""

    at: float
    worker: str
    what: str
    id: str
    key: str
    partition: int
    offset: int
    topic: str


@dataclass
class Chaos:
    """One group of workers on one installation, and a log that all of them write."""

    settings: Settings
    codec: Codec
    publisher: Publisher
    log: Path
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    def start(self, name: str, **more: str) -> None:
        """Starts a worker; its output goes beside the log."""
        output = self.log.with_suffix(f".{name}.out").open("ab")
        self.workers[name] = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.delivery.chaos_worker"],
            cwd=ROOT,
            env=environment(self.settings, CHAOS_LOG=str(self.log), CHAOS_NAME=name, **more),
            stdout=output,
            stderr=output,
        )
        output.close()

    def kill(self, name: str) -> None:
        """kill -9."""
        worker = self.workers.pop(name)
        worker.kill()
        worker.wait()

    async def end(self, name: str, seconds: float = 60, number: int = signal.SIGTERM) -> int:
        """Asks a worker to stop; gives its exit code."""
        self.workers[name].send_signal(number)
        return await self.ended(name, seconds)

    async def ended(self, name: str, seconds: float = 60) -> int:
        """Waits for a worker to end by itself; gives its exit code."""
        await self.until(lambda: self.workers[name].poll() is not None, seconds)
        return int(self.workers.pop(name).returncode)

    async def put(self, key: str, how_long: float | Path, partition: int | None = None) -> str:
        """One event that takes some seconds, or until there is a file; gives its id."""
        name = str(len(self.sent))
        self.sent.append(name)
        work = f"until {how_long}" if isinstance(how_long, Path) else f"work {how_long}"
        event = DocumentWithdrawn(collection_id="c", document_id=name, publisher=work, source=Source())
        await self.publisher.publish(DOCUMENTS, key, event, partition=partition)
        return name

    def lines(self, worker: str | None = None, what: str | None = None) -> list[Line]:
        """What was written down so far; the last line of a killed worker may be half."""
        if not self.log.exists():
            return []
        found = [Line(**json.loads(line)) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [one for one in found if worker in (None, one.worker) and what in (None, one.what)]

    def ids(self, what: str) -> set[str]:
        """Ids of the events of which something was written down."""
        return {line.id for line in self.lines(what=what)}

    async def until(self, true: Callable[[], object], seconds: float = 60) -> None:
        """Waits for something to become true."""
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.05)

    async def works(self, name: str) -> None:
        """Waits until a worker has finished something."""
        await self.until(lambda: self.lines(name, "end"))

    async def commits(self) -> None:
        """Waits for longer than a worker waits between two commits."""
        await asyncio.sleep(2.5)

    def output(self, name: str) -> str:
        """What a worker printed."""
        return self.log.with_suffix(f".{name}.out").read_text()

    def committed(self) -> dict[int, int]:
        """The group's committed offsets by partition; negative: none."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
                "group.id": self.settings.kafka_name("documents"),
                "log_level": 2,
            }
        )
        places = [TopicPartition(self.settings.kafka_name(DOCUMENTS), number) for number in range(DOCUMENTS.partitions)]
        found = {place.partition: place.offset for place in consumer.committed(places, timeout=60)}
        consumer.close()
        return found

    def claimed_and_not_finished(self) -> list[tuple[int, int]]:
        """Places below the committed offsets at which nothing was ever finished."""
        committed = self.committed()  # first: a worker that lives finishes, and then commits, more meanwhile
        done = {(line.partition, line.offset) for line in self.lines(what="end")}
        return [
            (partition, offset)
            for partition, end in committed.items()
            for offset in range(max(end, 0))
            if (partition, offset) not in done
        ]

    async def receipts(self) -> collections.Counter[str]:
        """How many receipts each event has."""
        said = await self.events(DOCUMENT_STATUS)
        return collections.Counter(event.document_id for event in said if isinstance(event, DocumentRemoved))

    async def events(self, topic: Topic) -> list[Event]:
        """Every event on a topic."""
        found = await all_of(self.settings, topic)
        return [await self.codec.decode(topic.name, topic.events, one.value, dict(one.headers)) for one in found]

    def overlaps_and_disorder(self) -> list[tuple[str, Line]]:
        """Events of a key that ran at once in one process, or started before an earlier one of it was finished."""
        running: set[tuple[str, str]] = set()
        offsets: dict[str, set[int]] = collections.defaultdict(set)
        for line in self.lines():
            offsets[line.key].add(line.offset)
        finished: dict[str, set[int]] = collections.defaultdict(set)
        wrong = []
        for line in self.lines():
            if line.what != "start":
                running.discard((line.worker, line.key))
                finished[line.key] |= {line.offset} if line.what == "end" else set()
                continue
            if (line.worker, line.key) in running:
                wrong.append(("at once", line))
            if any(offset not in finished[line.key] for offset in offsets[line.key] if offset < line.offset):
                wrong.append(("too early", line))
            running.add((line.worker, line.key))
        return wrong

    def close(self) -> None:
        """Ends what a failed test left."""
        for name in list(self.workers):
            self.kill(name)


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
