"""Records that could not be read, kept whole; and the rule that stops a worker that cannot read what we wrote."""

import base64
import json
from collections import defaultdict

import structlog

from infra.kafka.publisher import Publisher
from infra.kafka.records import Record
from infra.objects import Objects
from infra.settings import Settings
from schemas.delivery import DeadLetter, Header
from schemas.errors import Invalid, Undecodable
from streams.metrics import WorkerMetrics
from topics.catalogue import DEAD_LETTERS

log = structlog.get_logger()
EX_CONFIG = 78
"""The exit code that a supervisor does not restart: sysexits' "something is configured wrong", a person must look."""
ENVELOPE_BYTES = 64 * 1024  # what key and headers may take within a dead letter
HEADER_BYTES = 8  # what a header takes besides its name and value: there may be a million empty ones
REMEMBERED = 10_000
ENVELOPE_HEADER = "turnlog-envelope-sha256"


class StopWorker(Exception):
    """Stop in order and stay stopped: going on would do harm that a restart does not mend."""


class Burial:
    """Writes dead letters, and counts them in a row for each topic of one worker."""

    def __init__(
        self,
        settings: Settings,
        worker: str,
        publisher: Publisher,
        objects: Objects,
        metrics: WorkerMetrics,
        ours: frozenset[str],
    ) -> None:
        self._limit, self._record_bytes = settings.limits.dead_letters_in_a_row, settings.limits.record_bytes
        self._worker, self._publisher, self._objects = settings.kafka_name(worker), publisher, objects
        self._metrics, self._ours = metrics, ours
        self._row: dict[str, int] = {}  # since the last readable record of the topic, in the order of work
        self._buried: dict[tuple[str, int], set[int]] = defaultdict(set)  # offsets, for rows in the order of the log

    def check_size(self, record: Record) -> None:
        """Raises Undecodable for a record that is larger than ours may be (a compressed batch can hold such)."""
        size = _size(record)
        if size > self._record_bytes:
            raise Undecodable(f"a record of {size} bytes; at most {self._record_bytes} are allowed")

    async def bury(self, record: Record, reason: str) -> None:
        """Writes the dead letter and waits for all replicas; raises Unavailable."""
        letter = await self._letter(record, reason)
        try:
            encoded = self._publisher.encode(DEAD_LETTERS, letter)
        except Invalid:  # larger than was reckoned: whatever it is, it must not stop what comes after it
            letter = await self._letter(record, reason, apart=True)
            encoded = self._publisher.encode(DEAD_LETTERS, letter)
        await self._publisher.publish_bytes(DEAD_LETTERS, letter.key, encoded)
        self._metrics.dead_letters.labels(record.topic).inc()
        log.error("dead letter", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason)

    def readable(self, topic: str) -> None:
        """A record could be read: the row ends."""
        if self._row.pop(topic, 0):
            self._metrics.in_a_row.labels(topic).set(0)

    def count(self, record: Record) -> None:
        """One more in a row; raises StopWorker at the limit on a topic that only we write, else it only alarms.

        Keys run beside each other, so a row counts both ways: no readable record of the topic came between in the order
        of work, or none lies between in the partition.
        """
        topic = record.topic
        row = self._row[topic] = self._row.get(topic, 0) + 1
        run = self._run(record)
        in_a_row = max(row, run)
        self._metrics.in_a_row.labels(topic).set(in_a_row)
        if in_a_row >= self._limit and topic in self._ours:
            raise StopWorker(
                f"{in_a_row} dead letters in a row on {topic}, which only we write: this worker does not understand "
                "its own topics, probably it is an older version; nothing after them was committed"
            )
        if row % self._limit == 0 or run == self._limit:
            log.error("alarm: an inbox sends nothing but unreadable records", topic=topic, in_a_row=in_a_row)

    def _run(self, record: Record) -> int:
        """How many neighbours in the log, this record among them, are dead letters."""
        buried = self._buried[record.topic, record.partition]
        if len(buried) >= REMEMBERED:
            buried.clear()
        buried.add(record.offset)
        first = last = record.offset
        while first - 1 in buried and last - first < self._limit:
            first -= 1
        while last + 1 in buried and last - first < self._limit:
            last += 1
        return last - first + 1

    async def _letter(self, record: Record, reason: str, *, apart: bool = False) -> DeadLetter:
        """Everything of the record; what does not fit beside the rest (`apart`: all) is in object storage, by hash."""
        key: bytes | None = record.key
        value: bytes | None = record.value
        value_sha256: str | None = None
        headers = [Header(name=name, value=content) for name, content in record.headers]
        if value and (apart or len(value) + 3 * ENVELOPE_BYTES > self._record_bytes):  # the key is in it twice
            value_sha256 = await self._objects.put(value)
            value = None
        if apart or _size(record) - len(record.value or b"") > ENVELOPE_BYTES:
            sha256 = await self._objects.put(_envelope(record))
            key, headers = None, [Header(name=ENVELOPE_HEADER, value=sha256.encode())]
        return DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp_ms,
            key=key,
            value=value,
            value_sha256=value_sha256,
            headers=headers,
            worker=self._worker,
            reason=reason[:4096],
        )


def _size(record: Record) -> int:
    named = sum(HEADER_BYTES + len(name.encode()) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + named


def _envelope(record: Record) -> bytes:
    """Key and headers as JSON, bytes in base64: for the rare record whose envelope alone is too large."""

    def text(data: bytes | None) -> str | None:
        return None if data is None else base64.b64encode(data).decode()

    return json.dumps({"key": text(record.key), "headers": [[n, text(v)] for n, v in record.headers]}).encode()
