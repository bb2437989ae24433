"""Beside a worker's offsets lies the topic's id: another id under the same name is another topic, and work stops."""

import asyncio
from collections.abc import Sequence

from infra.kafka.identity import topic_ids
from infra.postgres.pool import Pool, connection
from infra.settings import Settings
from infra.waiting import until_available
from schemas.errors import Invalid
from topics.catalogue import Topic

GUARD_SECONDS = 10
REMEMBER = """insert into state.topic_ids (worker, topic, topic_id) values (%s, %s, %s) on conflict do nothing"""
KNOWN = "select topic, topic_id from state.topic_ids where worker = %s"


async def guard(settings: Settings, worker: str, topics: Sequence[Topic], db: Pool) -> None:
    """Waits until broker and topics are there; raises Invalid when one of them is another than at the first start."""
    now = await topic_ids(settings, tuple(topics))
    known = await until_available("postgres", lambda: _remembered(db, worker, now))
    for name, topic_id in now.items():
        if known[name] != topic_id:
            raise Invalid(
                f"the topic {settings.kafka_name(name)} was made anew (id {topic_id}, it was {known[name]}): "
                "what is kept about its offsets means other records, so no more is read. "
                "Bring the old topic back, or start with an empty database or another TURNLOG_NAMESPACE"
            )


async def keep_guard(settings: Settings, worker: str, topics: Sequence[Topic], db: Pool) -> None:
    """As `guard`, again and again: a topic can be made anew under a running worker, too."""
    while True:
        await asyncio.sleep(GUARD_SECONDS)
        await guard(settings, worker, topics, db)


async def _remembered(db: Pool, worker: str, now: dict[str, str]) -> dict[str, str]:
    async with connection(db) as found, found.transaction():
        for name, topic_id in now.items():
            await found.execute(REMEMBER, (worker, name, topic_id))
        rows = await (await found.execute(KNOWN, (worker,))).fetchall()
    return {str(name): str(topic_id) for name, topic_id in rows}
