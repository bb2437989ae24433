"""Who calls, and what they may."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from infra.postgres.pool import Connection, Pool, session

ADMINISTRATOR = "scope:admin"  # a principal of administrators' sessions only; no reader list can name it


@dataclass(frozen=True)
class Caller:
    """An authenticated key (or token) and its user. Groups are as the views have them now.

    `subject`: who it is to the OIDC issuer, when it came with a token. `holder`: whose places for turns in flight this
    key takes: its user's, or its own when it carries its own limit.
    """

    user_id: str
    key_id: str
    principals: frozenset[str]
    scopes: frozenset[str]
    requests_per_minute: int
    turns_in_flight: int
    holder: str
    expires_at: float | None = None
    subject: str | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the key may administer users, keys, groups and collections."""
        return "admin" in self.scopes

    @asynccontextmanager
    async def reading(self, pool: Pool) -> AsyncIterator[Connection]:
        """A transaction in which row-level security shows what this user may see."""
        async with session(pool, self.user_id, self.principals) as db:
            yield db

    @asynccontextmanager
    async def administering(self, pool: Pool) -> AsyncIterator[Connection]:
        """As `reading`, and for an administrator's key every user, key, group and collection (nobody's words)."""
        principals = self.principals | {ADMINISTRATOR} if self.is_admin else self.principals
        async with session(pool, self.user_id, principals) as db:
            yield db
