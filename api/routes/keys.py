"""/v1/keys: API keys, made once, listed without their secret, revoked at once."""

import time
from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from api.auth import Authenticated
from api.caller import Caller
from api.consistency import write
from api.fields import Body, KeyPath, Moment, Name, Paged, Scope, Sent, UserId, rows
from api.problems import Problem, forbidden, not_found
from api.routes.users import user_seen_by
from api.services import Opened, Services
from infra.access import make_key, record_key
from infra.postgres.moment import LATEST
from infra.settings import Limits
from schemas.access import KeyRevoked
from topics.catalogue import ACCESS_CHANGES

router = APIRouter(prefix="/v1/keys", tags=["access"])
SELECT = """select key_id, user_id, name, scopes, requests_per_minute, turns_in_flight, expires_at, created_by,
  created_at, revoked_at from views.keys """


class Key(Body):
    """An API key, without its secret. Null limits are the installation's defaults."""

    key_id: str
    user_id: str
    name: str
    scopes: list[str]
    requests_per_minute: int | None
    turns_in_flight: int | None
    expires_at: Moment | None
    created_by: str
    created_at: Moment
    revoked_at: Moment | None


class NewKey(Body):
    """A key to make: for oneself, or by an administrator for anybody."""

    name: Name
    scopes: list[Scope] = Field(min_length=1)
    user_id: UserId | None = None
    service: bool = Field(False, description="a service's key: its own, larger limits (administrators)")
    requests_per_minute: int | None = Field(None, ge=1, le=10_000_000)
    turns_in_flight: int | None = Field(None, ge=1, le=100_000)
    expires_at: Moment | None = None


class MadeKey(Body):
    """A key that was just made; `key` is told here and never again."""

    key_id: str
    key: str
    user_id: str
    name: str
    scopes: list[str]
    expires_at: Moment | None


@router.post("", status_code=201, response_model=MadeKey)
async def create_key(new: Sent[NewKey], caller: Authenticated, services: Opened) -> Response:
    """Makes a key. Its rights are at most those of the key that makes it, unless that is an administrator's.

    One for oneself ends with the key or token that makes it, an administrator's too.
    """
    user_id = new.user_id or caller.user_id
    if user_id != caller.user_id:
        if not caller.is_admin:
            raise not_found(f"user {user_id}")
        await user_seen_by(caller, services, user_id)
    _check_rights(new, caller, services.settings.limits)
    limits = services.settings.limits
    key, created = make_key(
        user_id,
        new.name,
        new.scopes,
        caller.user_id,
        requests_per_minute=new.requests_per_minute or (limits.requests_per_minute_service if new.service else None),
        turns_in_flight=new.turns_in_flight or (limits.turns_in_flight_service if new.service else None),
        expires_at=_expiry(new, caller, user_id),
    )
    written = await write(services, ACCESS_CHANGES, record_key(created), created)
    made = MadeKey(
        key_id=created.key_id,
        key=key,
        user_id=user_id,
        name=new.name,
        scopes=created.scopes,
        expires_at=None if created.expires_at is None else datetime.fromtimestamp(created.expires_at / 1000, UTC),
    )
    return written.answer(made, 201)


@router.get("")
async def list_keys(caller: Authenticated, services: Opened, paged: Paged, user_id: UserId | None = None) -> list[Key]:
    """One's own keys; an administrator's key lists another user's."""
    wanted = user_id or caller.user_id
    if wanted != caller.user_id:
        if not caller.is_admin:
            raise not_found(f"user {wanted}")
        await user_seen_by(caller, services, wanted)
    query = SELECT + "where user_id = %(user)s and key_id > %(cursor)s order by key_id limit %(limit)s"
    async with caller.administering(services.db) as db:
        return await rows(db, Key, query, {"user": wanted, **paged.model_dump()})


@router.get("/{key_id}")
async def get_key(key_id: KeyPath, caller: Authenticated, services: Opened) -> Key:
    """One key."""
    return await _key_seen_by(caller, services, key_id)


@router.delete("/{key_id}", status_code=204)
async def revoke_key(key_id: KeyPath, caller: Authenticated, services: Opened) -> Response:
    """Revokes a key: itself, or one whose scopes it has, too. It stops working within a second, on every replica."""
    found = await _key_seen_by(caller, services, key_id)
    if found.revoked_at is not None:
        return Response(None, 204)
    if key_id != caller.key_id and not caller.is_admin and (lacking := set(found.scopes) - caller.scopes):
        raise forbidden(f"this key lacks the scope {', '.join(sorted(lacking))} of the key to revoke")
    revoked = KeyRevoked(key_id=key_id, revoked_by=caller.user_id)
    return (await write(services, ACCESS_CHANGES, record_key(revoked), revoked)).answer()


async def _key_seen_by(caller: Caller, services: Services, key_id: str) -> Key:
    async with caller.administering(services.db) as db:
        found = await rows(db, Key, SELECT + "where key_id = %(key)s", {"key": key_id})
    if not found:
        raise not_found(f"key {key_id}")
    return found[0]


def _check_rights(new: NewKey, caller: Caller, limits: Limits) -> None:
    if caller.is_admin:
        return
    if lacking := set(new.scopes) - caller.scopes:
        raise forbidden(f"this key lacks the scope {', '.join(sorted(lacking))}, so it cannot give it")
    if caller.requests_per_minute < limits.requests_per_minute or caller.turns_in_flight < limits.turns_in_flight:
        raise forbidden("this key has limits below the defaults, so it makes no others: each would have its own")
    if new.service or new.turns_in_flight is not None or (new.requests_per_minute or 0) > limits.requests_per_minute:
        raise forbidden("a key with limits of its own, above the defaults, is made by an administrator")


def _expiry(new: NewKey, caller: Caller, user_id: str) -> int | None:
    """When the new key ends: for oneself not after what one came with; for others as the administrator says."""
    wanted = None if new.expires_at is None else int(new.expires_at.timestamp() * 1000)
    if wanted is not None and wanted <= time.time() * 1000:
        raise Problem(422, "invalid", "expires_at lies in the past")
    if new.expires_at is not None and new.expires_at > LATEST:
        raise Problem(422, "invalid", f"expires_at lies after {LATEST:%Y-%m-%d}; leave it out for a key without end")
    latest = None if caller.expires_at is None or user_id != caller.user_id else int(caller.expires_at * 1000)
    return min((one for one in (wanted, latest) if one is not None), default=None)
