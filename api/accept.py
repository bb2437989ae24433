"""A command is accepted once: a row in Postgres, the record on the log, a mark; others finish what a replica left."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from psycopg.types.json import Jsonb

from api.problems import Problem
from infra.kafka.publisher import Publisher
from infra.kafka.records import Position
from infra.postgres.pool import Pool, connection, twice
from infra.settings import Limits
from infra.waiting import end
from schemas.codec import Encoded
from schemas.errors import Unavailable
from topics.catalogue import OURS, Topic

MARK_SECONDS = 0.2
TWIN_LOOKS_SECONDS = 0.05
FORGET_SECONDS = 60
BATCH = 500
BY_NAME = {topic.name: topic for topic in OURS}
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Command:
    """A write to accept. `reference` is what the client is told (as `called`); `digest` says what was asked."""

    owner: str
    key: str | None
    digest: bytes
    reference: str
    called: str
    topic: Topic
    record_key: str
    encoded: Encoded


@dataclass(frozen=True)
class Row:
    """What Postgres says to a command: new, known (the same request before), other (the key was used for another)."""

    outcome: str
    reference: str
    record_key: str
    position: str | None


@dataclass(frozen=True)
class Accepted:
    """A command whose record is in the log. `repeated`: an earlier request with this key made it."""

    reference: str
    record_key: str
    position: Position
    repeated: bool


Enter = Callable[[Command], Awaitable[Row]]


def digest_of(method: str, path: str, body: bytes) -> bytes:
    """What two requests with one idempotency key must have in common."""
    return hashlib.sha256(b"%s %s\n%s" % (method.encode(), path.encode(), body)).digest()


def idempotency_key(header: str | None) -> str | None:
    """The client's key, None when it gave none; raises a 400 problem."""
    if header is None:
        return None
    key = header.strip()
    if not 1 <= len(key) <= 255 or not (key.isascii() and key.isprintable()):
        raise Problem(400, "invalid", "Idempotency-Key: between 1 and 255 printable ASCII characters")
    return key


def headers_to_json(encoded: Encoded) -> dict[str, str]:
    """Our headers are ASCII."""
    return {name: value.decode("ascii") for name, value in encoded.headers}


def encoded_of(value: bytes, headers: dict[str, str]) -> Encoded:
    """The other way round."""
    return Encoded(bytes(value), [(name, text.encode("ascii")) for name, text in headers.items()])


class Accept:
    """Accepts commands, and finishes those that a dead replica left pending."""

    def __init__(self, db: Pool, publisher: Publisher, limits: Limits) -> None:
        self._db, self._publisher, self._limits = db, publisher, limits
        self._marks: dict[str, Position] = {}
        self._producing: dict[str, asyncio.Task[Position]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, db: Pool, publisher: Publisher, limits: Limits) -> AsyncIterator["Accept"]:
        """Marks, produces again and forgets in the background; at the end it marks what it still has."""
        accept = cls(db, publisher, limits)
        loops = [
            asyncio.create_task(accept._every(MARK_SECONDS, accept._mark)),
            asyncio.create_task(accept._every(limits.request_pending_seconds, accept._produce_again)),
            asyncio.create_task(accept._every(FORGET_SECONDS, accept._forget)),
        ]
        try:
            yield accept
        finally:
            await end(loops)
            with suppress(Unavailable):
                await accept._mark()

    async def once(self, command: Command, enter: Enter | None = None) -> Accepted:
        """Returns when the record is in the log, whoever put it there. `enter` makes a row that needs checks.

        Raises problems: 422 (the key was used for another request), 409 (a twin is not done after 5 s), 503 (the
        outcome is unknown: asking again with the same key tells).
        """
        enter = enter or self.enter
        row = await self._entered(command, enter)
        if row.outcome == "other":
            raise Problem(422, "key-reused", "this Idempotency-Key was used for another request")
        if row.outcome == "known":
            return Accepted(row.reference, row.record_key, await self._twin(command, enter, row), True)
        return Accepted(row.reference, row.record_key, await self._produced(command), False)

    async def beside(self, command: Command, enter: Enter) -> Accepted:
        """As `once`, for a command without a key against which nothing can be said: its row goes beside its record.

        Raises the 503 problem; then its record may be in the log, with or without a row.
        """
        row, position = await asyncio.gather(self._entered(command, enter), self._produced(command))
        self._marks[row.reference] = position  # the first mark may have come before the row
        return Accepted(row.reference, row.record_key, position, False)

    async def _entered(self, command: Command, enter: Enter) -> Row:
        try:
            async with asyncio.timeout(self._limits.request_unknown_seconds):
                return await twice(lambda: enter(command))
        except (Unavailable, TimeoutError) as exc:
            raise unknown_outcome(command, "postgres") from exc

    async def enter(self, command: Command) -> Row:
        """The row of a command that needs no check of its own."""
        async with connection(self._db) as db:
            found = await db.execute(
                "select * from app.accept_request(%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    command.reference,
                    command.owner,
                    command.key,
                    command.digest,
                    command.topic.name,
                    command.record_key,
                    command.encoded.value,
                    Jsonb(headers_to_json(command.encoded)),
                ],
            )
            row = await found.fetchone()
        assert row is not None
        return Row(*row)

    async def _twin(self, command: Command, enter: Enter, row: Row) -> Position:
        """Waits until the first request's record is marked."""
        try:
            async with asyncio.timeout(self._limits.request_pending_seconds):
                while row.position is None:
                    await asyncio.sleep(TWIN_LOOKS_SECONDS)
                    row = await self._entered(command, enter)
        except TimeoutError as exc:
            detail = "an earlier request with this Idempotency-Key is still on its way"
            more: dict[str, Any] = {command.called: row.reference}
            raise Problem(409, "in-progress", detail, headers={"retry-after": "1"}, **more) from exc
        partition, offset = row.position.split(":")
        return Position(int(partition), int(offset))

    async def _produced(self, command: Command) -> Position:
        task = asyncio.create_task(self._produce(command.reference, command.topic, command.record_key, command.encoded))
        self._producing[command.reference] = task
        task.add_done_callback(lambda task: self._settled(command.reference, task))
        await asyncio.wait({task}, timeout=self._limits.request_unknown_seconds)
        if not task.done() or task.exception() is not None:
            raise unknown_outcome(command, "kafka")  # the row stays pending: it is produced when the broker is back
        return task.result()

    async def _produce(self, reference: str, topic: Topic, key: str, encoded: Encoded) -> Position:
        position = self._marks[reference] = await self._publisher.publish_bytes(topic, key, encoded)
        return position

    def _settled(self, reference: str, task: "asyncio.Task[Position]") -> None:
        self._producing.pop(reference, None)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.warning("a record could not be produced, it stays pending", reference=reference, reason=str(exc))

    async def _every(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            with suppress(Unavailable):
                await do()

    async def _mark(self) -> None:
        if not self._marks:
            return
        marks, self._marks = self._marks, {}
        try:
            async with connection(self._db) as db:
                await db.execute(
                    "select app.mark_requests(%s::text[], %s::text[])",
                    [list(marks), [str(at) for at in marks.values()]],
                )
        except Unavailable:
            self._marks = marks | self._marks
            raise

    async def _produce_again(self) -> None:
        """The same bytes once more, for rows that nobody marked; other replicas pass them by meanwhile."""
        async with connection(self._db) as db, db.transaction():
            found = await db.execute(
                "select reference, topic, record_key, value, headers from app.pending_requests(%s, %s)",
                [self._limits.request_pending_seconds, BATCH],
            )
            for reference, topic, record_key, value, headers in await found.fetchall():
                if reference not in self._marks and reference not in self._producing:
                    await self._produce(reference, BY_NAME[topic], record_key, encoded_of(value, headers))
                    log.info("produced again", reference=reference, topic=topic)

    async def _forget(self) -> None:
        async with connection(self._db) as db:
            await db.execute("select app.forget_requests(%s, %s)", [self._limits.request_kept_hours, 100 * BATCH])
            await db.execute("select app.release_answered()")


def unknown_outcome(command: Command, server: str) -> Problem:
    """The client cannot know whether it was accepted; the same key, or the reference, will tell."""
    detail = f"{server} did not answer in time: outcome unknown. Ask again with the same Idempotency-Key, or look later"
    more: dict[str, Any] = {"server": server, command.called: command.reference}
    return Problem(503, "outcome-unknown", detail, headers={"retry-after": "2"}, **more)
