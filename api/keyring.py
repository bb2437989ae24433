"""API keys to callers: one look-up for key, user and groups."""

import hmac
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.caller import Caller
from api.remembered import Remembered
from infra.access import sha256_of, split_key
from infra.postgres.freshness import Freshness
from infra.postgres.pool import Pool, connection, twice
from infra.settings import Limits


@dataclass(frozen=True)
class _Known:
    secret_sha256: str
    caller: Caller


class Keyring:
    """The keys in use lately. A revocation works as soon as the views have folded it."""

    def __init__(self, db: Pool, freshness: Freshness, limits: Limits) -> None:
        self._db, self._limits = db, limits
        self._known = Remembered(freshness, self._look_up)

    async def caller(self, key: str) -> Caller | None:
        """Who calls with this key; None: no such key, revoked, expired, or its user is switched off."""
        parts = split_key(key)
        if parts is None:
            return None
        key_id, secret = parts
        known = await self._known.find(key_id)
        if not hmac.compare_digest(sha256_of(secret), known.secret_sha256 if known else "0" * 64) or known is None:
            return None
        return None if is_over(known.caller) else known.caller

    async def is_open(self, caller: Caller) -> bool:
        """Whether a key that was let in may go on: not revoked or expired since, its user not switched off."""
        known = await self._known.find(caller.key_id)
        return known is not None and not is_over(known.caller)

    async def _look_up(self, key_id: str) -> _Known | None:
        row = await twice(lambda: self._row(key_id))
        if row is None:
            return None
        user_id, secret_sha256, scopes, per_minute, in_flight, expires_at, principals = row
        return _Known(
            secret_sha256,
            Caller(
                user_id=user_id,
                key_id=key_id,
                principals=frozenset(principals),
                scopes=frozenset(scopes),
                requests_per_minute=per_minute or self._limits.requests_per_minute,
                turns_in_flight=in_flight or self._limits.turns_in_flight,
                holder=f"key:{key_id}" if in_flight else f"user:{user_id}",
                expires_at=expires_at.timestamp() if isinstance(expires_at, datetime) else None,
            ),
        )

    async def _row(self, key_id: str) -> tuple[Any, ...] | None:
        async with connection(self._db) as db:
            return await (await db.execute("select * from app.key_of(%s)", [key_id])).fetchone()


def is_over(caller: Caller) -> bool:
    """Whether what somebody came with has ended by itself."""
    return caller.expires_at is not None and caller.expires_at <= time.time()
