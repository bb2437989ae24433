"""How often a record's handler crashed, kept in Postgres so that a process that starts anew goes on counting."""

from typing import Any

from infra.kafka.records import Received
from infra.postgres.pool import Pool, connection

COUNT = """insert into state.tries as t (worker, topic, partition, "offset", tries, error)
  values (%s, %s, %s, %s, 1, %s) on conflict (worker, topic, partition, "offset")
  do update set tries = t.tries + 1, error = excluded.error, at = now()
  returning tries"""
FORGET = 'delete from state.tries where worker = %s and topic = %s and partition = %s and "offset" = %s'


class PostgresTries:
    """`state.tries`: one row for a record that crashed and is not finished."""

    def __init__(self, pool: Pool, worker: str, limit: int) -> None:
        self._pool, self._worker, self._limit = pool, worker, limit

    async def crashed(self, received: Received[Any], error: Exception) -> bool:
        """See streams.step.Tries; raises Unavailable."""
        text = f"{type(error).__name__}: {error}"[:1000].replace("\0", "")
        async with connection(self._pool) as db:
            found = await (await db.execute(COUNT, (*self._row(received), text))).fetchone()
        assert found is not None
        return int(found[0]) < self._limit

    async def finished(self, received: Received[Any]) -> None:
        """See streams.step.Tries; raises Unavailable."""
        async with connection(self._pool) as db:
            await db.execute(FORGET, self._row(received))

    def _row(self, received: Received[Any]) -> tuple[str, str, int, int]:
        return self._worker, received.topic, received.partition, received.offset
