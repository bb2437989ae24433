"""Every fold, together: what arrives decides, not when, nor how often."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest_asyncio
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from infra.kafka.records import Received
from infra.postgres.pool import Connection, conninfo
from infra.settings import Settings
from schemas.event import Event
from streams.views.folds import FOLDS
from tests.streams.views.histories import Log, arrivals, logs
from topics.catalogue import OURS

TOPICS = tuple(dict.fromkeys(fold.topic for fold in FOLDS))
TABLES = """select table_name from information_schema.tables where table_schema = 'views' and table_type = 'BASE TABLE'
  and table_name <> 'offsets' order by 1"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def db(settings: Settings) -> AsyncIterator[Connection]:
    """A connection of the views worker; every example is rolled back."""
    async with await psycopg.AsyncConnection.connect(conninfo(settings, "views")) as connection:
        yield connection


async def fold(db: Connection, batch: list[Received[Event]]) -> None:
    """What the worker does with a batch."""
    for one in FOLDS:
        if mine := [record for record in batch if record.topic == one.topic.name]:
            await one.fold(db, mine)
            if one.tell is not None:
                await one.tell(db, mine)


async def tables(db: Connection, batches: list[list[Received[Event]]]) -> dict[str, list[Any]]:
    """All rows of all views after some batches."""
    try:
        for batch in batches:
            await fold(db, batch)
        names = [name async for (name,) in await db.execute(TABLES)]
        return {
            name: await (await db.execute(f"select t::text from views.{name} t order by 1".encode())).fetchall()
            for name in names
        }
    finally:
        await db.rollback()


@given(data=st.data())
@examples(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_way_the_log_arrives_the_views_are_the_same(db: Connection, data: st.DataObject) -> None:
    log: Log = data.draw(logs(TOPICS))
    arrived = data.draw(arrivals(log))
    in_order = list(log.values())
    assert await tables(db, arrived) == await tables(db, in_order)


def test_every_topic_that_says_views_read_it_is_folded() -> None:
    assert {topic.name for topic in OURS if "views" in topic.readers} >= {topic.name for topic in TOPICS}
