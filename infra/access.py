"""Keys, principals and names: what they look like, and which record key their events travel under."""

import hashlib
import re
import secrets
from collections.abc import Iterable

from schemas.access import (
    CollectionCreated,
    CollectionDeleted,
    CollectionReadersChanged,
    GroupCreated,
    GroupDeleted,
    GroupMemberAdded,
    GroupMemberRemoved,
    KeyCreated,
    KeyRevoked,
    UserCreated,
    UserSignedIn,
    UserSwitched,
)
from schemas.event import Event

USER_ID = r"^[a-z0-9][a-z0-9._@-]{0,63}$"
GROUP_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
COLLECTION_ID = r"^[a-z0-9][a-z0-9._-]{0,63}$"
PRINCIPAL = r"^(public|user:[a-z0-9][a-z0-9._@-]{0,63}|group:[a-z0-9][a-z0-9._-]{0,63})$"
KEY = re.compile(r"tl_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
SCOPES = ("chat", "search", "publish", "audit", "admin")
PUBLIC = "public"
READERS = 256  # principals a reader list may have


def make_key(
    user_id: str,
    name: str,
    scopes: Iterable[str],
    created_by: str,
    *,
    requests_per_minute: int | None = None,
    turns_in_flight: int | None = None,
    expires_at: int | None = None,
) -> tuple[str, KeyCreated]:
    """A new API key, told once, and the event that makes it work; only the secret's hash is in the event."""
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    created = KeyCreated(
        key_id=key_id,
        user_id=user_id,
        name=name,
        secret_sha256=sha256_of(secret),
        scopes=[scope for scope in SCOPES if scope in set(scopes)],
        requests_per_minute=requests_per_minute,
        turns_in_flight=turns_in_flight,
        expires_at=expires_at,
        created_by=created_by,
    )
    return f"tl_{key_id}_{secret}", created


def sha256_of(secret: str) -> str:
    """What is stored of a secret; it has 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def split_key(key: str) -> tuple[str, str] | None:
    """The id and the secret of an API key, None when it does not look like one."""
    found = KEY.fullmatch(key)
    return (found[1], found[2]) if found else None


def record_key(event: Event) -> str:
    """The key of an event on `access-changes`: one entity's events lie on one partition, in order."""
    match event:
        case UserCreated() | UserSignedIn() | UserSwitched():
            return f"user:{event.user_id}"
        case KeyCreated() | KeyRevoked():
            return f"key:{event.key_id}"
        case GroupCreated() | GroupMemberAdded() | GroupMemberRemoved() | GroupDeleted():
            return f"group:{event.group}"
        case CollectionCreated() | CollectionReadersChanged() | CollectionDeleted():
            return f"collection:{event.collection_id}"
    raise TypeError(f"{type(event).__name__} does not belong on access-changes")
