"""Tokens of an OIDC issuer to callers: what is new in one goes to the log first, so that every process knows of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from api.caller import Caller
from api.keyring import is_over
from api.remembered import Remembered
from infra.access import record_key
from infra.kafka.publisher import Publisher
from infra.oidc import Claims, Issuer, TokenRefused, check_issuer
from infra.postgres.freshness import Freshness
from infra.postgres.pool import Pool, connection, twice
from infra.settings import Settings
from schemas.access import UserSignedIn
from schemas.errors import Invalid, Unavailable
from topics.catalogue import ACCESS_CHANGES

Identity = tuple[str, str, str]  # user id, issuer, subject
KEY_ID = "token:"  # before the user id, where other callers have the id of their key


@dataclass(frozen=True)
class _Known:
    enabled: bool
    theirs: bool
    groups: tuple[str, ...]
    issued_at: int
    lasts_until: float
    principals: frozenset[str]

    def knows(self, claims: Claims) -> bool:
        """Whether a token says nothing that an earlier one did not, or is not the newest."""
        same = self.groups == claims.groups and self.lasts_until * 1000 >= claims.expires_at
        return self.issued_at >= claims.issued_at or same


class Tokens:
    """Who comes with a token. Its user exists from the first one on, its groups are those of its newest one."""

    def __init__(
        self, issuer: Issuer, settings: Settings, db: Pool, freshness: Freshness, publisher: Publisher
    ) -> None:
        self._issuer, self._settings, self._db = issuer, settings, db
        self._freshness, self._publisher = freshness, publisher
        self._scopes = _scopes(settings)
        self._known = Remembered(freshness, self._look_up)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, db: Pool, freshness: Freshness, publisher: Publisher
    ) -> AsyncIterator["Tokens | None"]:
        """None when no issuer is configured; raises Invalid for a configuration that cannot be meant."""
        if not settings.oidc.issuer:
            yield None
            return
        async with Issuer.open(settings.oidc) as issuer:
            yield cls(issuer, settings, db, freshness, publisher)

    async def caller(self, token: str) -> Caller:
        """Who calls with this token; raises TokenRefused, or Unavailable: the issuer, Kafka or the views."""
        claims = await self._issuer.claims_of(token)
        identity = (claims.user_id, claims.issuer, claims.subject)
        known = await self._known.find(identity)
        if known is None or (known.theirs and known.enabled and not known.knows(claims)):
            known = await self._told(claims, identity)
        if not known.theirs:
            raise TokenRefused(f"the name {claims.user_id} is somebody else's here: an administrator knows whose")
        if not known.enabled:
            raise TokenRefused(f"the user {claims.user_id} is switched off")
        limits = self._settings.limits
        administers = bool(self._settings.oidc.admin_group) and self._settings.oidc.admin_group in known.groups
        return Caller(
            user_id=claims.user_id,
            key_id=KEY_ID + claims.user_id,
            principals=known.principals,
            scopes=self._scopes | {"admin"} if administers else self._scopes,
            requests_per_minute=limits.requests_per_minute,
            turns_in_flight=limits.turns_in_flight,
            holder=f"user:{claims.user_id}",
            expires_at=claims.expires_at / 1000 + self._settings.oidc.leeway_seconds,
            subject=claims.subject,
        )

    async def is_open(self, caller: Caller) -> bool:
        """Whether somebody who was let in may go on: the token not over, the user not switched off."""
        identity = (caller.user_id, self._settings.oidc.issuer, caller.subject or "")
        known = await self._known.find(identity)
        return known is not None and known.theirs and known.enabled and not is_over(caller)

    async def _told(self, claims: Claims, identity: Identity) -> _Known:
        """Puts what is new on the log, and waits until the views have it."""
        event = UserSignedIn(
            user_id=claims.user_id,
            name=claims.name,
            issuer=claims.issuer,
            subject=claims.subject,
            groups=list(claims.groups),
            issued_at=claims.issued_at,
            expires_at=claims.expires_at,
        )
        seconds = self._settings.limits.request_unknown_seconds
        try:
            async with asyncio.timeout(seconds):
                position = await self._publisher.publish(ACCESS_CHANGES, record_key(event), event)
        except TimeoutError as exc:
            raise Unavailable("kafka", "who signed in could not be told") from exc
        end = {(ACCESS_CHANGES.name, position.partition): position.offset + 1}
        known = await self._known.find(identity) if await self._freshness.wait_for_all(end, seconds) else None
        if known is None:
            raise Unavailable("views", "they have not folded yet who signed in")
        return known

    async def _look_up(self, identity: Identity) -> _Known | None:
        row = await twice(lambda: self._row(identity))
        if row is None:
            return None
        enabled, theirs, groups, issued_at, expires_at, principals = row
        if issued_at is None:
            return _Known(enabled, theirs, (), -1, 0.0, frozenset(principals))
        lasts_until = expires_at.timestamp()
        return _Known(
            enabled,
            theirs,
            tuple(groups) if lasts_until > time.time() else (),
            issued_at,
            lasts_until,
            frozenset(principals),
        )

    async def _row(self, identity: Identity) -> tuple[Any, ...] | None:
        async with connection(self._db) as db:
            return await (await db.execute("select * from app.signed_in(%s, %s, %s)", identity)).fetchone()


def check_oidc(settings: Settings) -> None:
    """Raises Invalid for settings of tokens that cannot be meant, before any server is asked."""
    if settings.oidc.issuer:
        check_issuer(settings.oidc)
        _scopes(settings)


def _scopes(settings: Settings) -> frozenset[str]:
    wanted = frozenset(one.strip() for one in settings.oidc.scopes.split(",") if one.strip())
    if unknown := wanted - {"chat", "search", "publish"}:
        raise Invalid(f"TURNLOG_OIDC__SCOPES: {', '.join(sorted(unknown))}: there are chat, search and publish")
    return wanted
