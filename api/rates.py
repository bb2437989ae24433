"""Requests per minute and key, shared by all replicas: a token bucket in Postgres, taken in small leases."""

import asyncio
import math
import time
from dataclasses import dataclass, field

from api.caller import Caller
from api.problems import too_many
from infra.postgres.pool import Pool, connection, twice

LEASE_SECONDS = 0.5  # of a key's rate: busy keys ask Postgres twice a second, whatever their rate
REMEMBERED_KEYS = 10_000


@dataclass
class _Bucket:
    left: int = 0
    elsewhere: int = 0  # tokens that the bucket had when the last lease was taken
    empty_until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Rates:
    """What is left of the leases of this replica."""

    def __init__(self, db: Pool) -> None:
        self._db = db
        self._buckets: dict[str, _Bucket] = {}

    async def take(self, caller: Caller) -> None:
        """One request of a key; raises a 429 problem when its minute is spent."""
        if len(self._buckets) > REMEMBERED_KEYS:
            self._buckets.clear()
        bucket = self._buckets.setdefault(caller.key_id, _Bucket())
        if not bucket.left:
            async with bucket.lock:
                if not bucket.left:
                    await self._lease(caller, bucket)
        bucket.left -= 1

    def headers(self, caller: Caller) -> list[tuple[bytes, bytes]]:
        """How much is left of a key's minute, as the IETF's draft and as OpenAI's clients read it."""
        bucket, most = self._buckets[caller.key_id], caller.requests_per_minute
        left = min(most, bucket.left + bucket.elsewhere)
        refilled = math.ceil((most - left) * 60 / most)
        return [
            (b"ratelimit-policy", b'"key";q=%d;w=60' % most),
            (b"ratelimit", b'"key";r=%d;t=%d' % (left, refilled)),
            (b"x-ratelimit-limit-requests", b"%d" % most),
            (b"x-ratelimit-remaining-requests", b"%d" % left),
            (b"x-ratelimit-reset-requests", b"%ds" % refilled),
        ]

    async def _lease(self, caller: Caller, bucket: _Bucket) -> None:
        per_second = caller.requests_per_minute / 60
        now = time.monotonic()
        if bucket.empty_until <= now:
            wanted = max(1, int(per_second * LEASE_SECONDS))
            granted, tokens_left = await twice(lambda: self._tokens(caller, per_second, wanted))
            bucket.left, bucket.elsewhere = granted, int(tokens_left)
            bucket.empty_until = 0.0 if granted else now + (1 - tokens_left) / per_second
        if not bucket.left:
            wait = bucket.empty_until - now
            said = {name.decode(): value.decode() for name, value in self.headers(caller)}
            why = f"this key may make {caller.requests_per_minute} requests a minute"
            raise too_many("rate-limited", why, wait, said | {"ratelimit": f'"key";r=0;t={max(1, round(wait))}'})

    async def _tokens(self, caller: Caller, per_second: float, wanted: int) -> tuple[int, float]:
        """Tokens granted, and those left in the bucket."""
        async with connection(self._db) as db:
            found = await db.execute(
                "select granted, tokens_left from app.take_tokens(%s, %s, %s, %s)",
                [caller.key_id, float(caller.requests_per_minute), per_second, wanted],
            )
            row = await found.fetchone()
        assert row is not None
        return row[0], row[1]
