"""Accepted once: a row left pending is finished by any replica, and its twin waits for it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from api.accept import Accept, Command, digest_of
from api.problems import Problem
from infra.kafka.publisher import Publisher
from infra.kafka.records import Position
from infra.postgres.pool import Pool, open_pool
from infra.registry.client import RegistryClient
from infra.settings import Limits, Settings
from schemas.codec import Codec
from schemas.conversations import ConversationStarted
from schemas.event import uuid7
from tests.api.house import superuser
from tests.kafka_reading import all_of
from topics.catalogue import CONVERSATION_CHANGES

PENDING_SECONDS = 0.5
SECONDS = 60.0
LIMITS = Limits(request_pending_seconds=PENDING_SECONDS)


@dataclass
class Doors:
    """Two replicas' ways to accept."""

    settings: Settings
    publisher: Publisher
    db: Pool

    def command(self, key: str | None = None, body: bytes = b"{}") -> Command:
        """A conversation to start."""
        event = ConversationStarted(conversation_id=uuid7(), user_id="anna")
        return Command(
            owner="anna",
            key=key,
            digest=digest_of("POST", "/v1/conversations", body),
            reference=event.conversation_id,
            called="conversation_id",
            topic=CONVERSATION_CHANGES,
            record_key=event.conversation_id,
            encoded=self.publisher.encode(CONVERSATION_CHANGES, event),
        )

    async def records(self, command: Command) -> list[bytes]:
        """What the log has of a command."""
        return [
            r.value for r in await all_of(self.settings, CONVERSATION_CHANGES) if r.key == command.record_key.encode()
        ]

    def positions(self, command: Command) -> list[tuple[str | None, bytes | None]]:
        """What its row says."""
        with superuser(self.settings) as db:
            query = 'select "position", value from state.requests where reference = %s'
            return db.execute(query, [command.reference]).fetchall()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def doors(settings: Settings) -> AsyncIterator[Doors]:
    """Postgres and a publisher."""
    registry = RegistryClient(settings)
    await registry.load((CONVERSATION_CHANGES,))
    async with Publisher.open(settings, Codec(registry)) as publisher, open_pool(settings, "api", size=4) as db:
        yield Doors(settings, publisher, db)
    await registry.close()


class Held(Publisher):
    """A publisher that stands still before it publishes, until it is let go."""

    def __init__(self, of: Publisher) -> None:
        self.__dict__.update(of.__dict__)
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def publish_bytes(self, *args: Any, **more: Any) -> Position:
        """As the real one, with a pause."""
        self.reached.set()
        await asyncio.wait_for(self.go_on.wait(), SECONDS)
        return await super().publish_bytes(*args, **more)


async def leave_pending(doors: Doors, command: Command) -> None:
    """What a replica leaves that was killed between the row and the record."""
    assert (await Accept(doors.db, doors.publisher, LIMITS).enter(command)).outcome == "new"


async def test_an_accepted_command_is_in_the_log_and_its_bytes_are_dropped(doors: Doors) -> None:
    command = doors.command()
    async with Accept.open(doors.db, doors.publisher, LIMITS) as accept:
        accepted = await accept.once(command)
    assert await doors.records(command) == [command.encoded.value]
    assert doors.positions(command) == [(str(accepted.position), None)]


async def test_a_row_left_pending_is_produced_once_although_two_replicas_look(doors: Doors) -> None:
    command, held = doors.command(), Held(doors.publisher)
    await leave_pending(doors, command)
    async with Accept.open(doors.db, held, LIMITS), asyncio.timeout(SECONDS):
        await held.reached.wait()
        await Accept(doors.db, doors.publisher, LIMITS)._produce_again()  # another replica looks meanwhile
        assert await doors.records(command) == []
        held.go_on.set()
        while doors.positions(command)[0][0] is None:
            await asyncio.sleep(0.05)
    assert await doors.records(command) == [command.encoded.value]


async def test_a_twin_waits_for_a_row_that_another_replica_finishes(doors: Doors) -> None:
    first, twin = doors.command("waits"), doors.command("waits")
    await leave_pending(doors, first)
    patient = LIMITS.model_copy(update={"request_pending_seconds": SECONDS})
    async with Accept.open(doors.db, doors.publisher, LIMITS):
        accepted = await Accept(doors.db, doors.publisher, patient).once(twin)
    assert accepted.repeated
    assert accepted.reference == first.reference
    assert await doors.records(twin) == []


async def test_a_twin_whose_first_is_not_done_in_time_is_told_to_ask_again(doors: Doors) -> None:
    first = doors.command("never")
    await leave_pending(doors, first)
    with pytest.raises(Problem) as raised:
        await Accept(doors.db, doors.publisher, LIMITS).once(doors.command("never"))
    assert (raised.value.status, raised.value.more) == (409, {"conversation_id": first.reference})


async def test_a_key_belongs_to_one_request(doors: Doors) -> None:
    async with Accept.open(doors.db, doors.publisher, LIMITS) as accept:
        await accept.once(doors.command("one"))
        with pytest.raises(Problem) as raised:
            await accept.once(doors.command("one", b'{"title": "other"}'))
    assert raised.value.status == 422


async def test_a_statement_whose_answer_was_lost_may_be_said_again(doors: Doors) -> None:
    for command in (doors.command(), doors.command("lost")):
        await leave_pending(doors, command)
        async with Accept.open(doors.db, doors.publisher, Limits()) as accept:  # nobody finishes it before it is said
            accepted = await accept.once(command)
        assert (accepted.reference, accepted.repeated) == (command.reference, False)


async def test_dead_connections_after_a_restart_of_the_database_refuse_nobody(doors: Doors) -> None:
    async with Accept.open(doors.db, doors.publisher, LIMITS) as accept:
        await asyncio.gather(*(accept.once(doors.command()) for _ in range(8)))
        with superuser(doors.settings) as db:
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name = 'turnlog api' and datname = current_database()"
            )
        accepted = await asyncio.gather(*(accept.once(doors.command()) for _ in range(4)))
    assert len({one.reference for one in accepted}) == 4
