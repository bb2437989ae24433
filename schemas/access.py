"""Who may do what: users, keys, groups, collections and their readers."""

from typing import Annotated

from schemas.event import Doc, Event


class UserCreated(Event):
    """A user exists."""

    user_id: Annotated[str, Doc("user id: lower-case letters, digits, . _ - and @, at most 64")]
    name: Annotated[str, Doc("name for people")]
    created_by: Annotated[str, Doc("user id of the maker")]


class UserSwitched(Event):
    """A user was switched on or off."""

    user_id: Annotated[str, Doc("user id")]
    enabled: Annotated[bool, Doc("false: every key of the user stops working")]
    changed_by: Annotated[str, Doc("user id of the one who changed it")]


class UserSignedIn(Event):
    """A user came with a token of the OIDC issuer that says something new. The first one makes the user."""

    user_id: Annotated[str, Doc("user id; whoever came first under it keeps it")]
    name: Annotated[str, Doc("name for people")]
    issuer: Annotated[str, Doc("`iss` of the token")]
    subject: Annotated[str, Doc("`sub` of the token: who it is to the issuer")]
    groups: Annotated[list[str], Doc("the token's groups whose names can be groups here, sorted; they last as it does")]
    issued_at: Annotated[int, Doc("`iat` of the token, ms since the Unix epoch: the newest token counts")]
    expires_at: Annotated[int, Doc("`exp` of the token, ms since the Unix epoch")]


class KeyCreated(Event):
    """An API key exists; only its hash is known."""

    key_id: Annotated[str, Doc("id of the key, no secret")]
    user_id: Annotated[str, Doc("whose rights it carries")]
    name: Annotated[str, Doc("what it is for")]
    secret_sha256: Annotated[str, Doc("lower-case hex SHA-256 of the 256-bit random secret")]
    scopes: Annotated[list[str], Doc("chat, search, publish, admin")]
    requests_per_minute: Annotated[int | None, Doc("rate; null: the default")] = None
    turns_in_flight: Annotated[int | None, Doc("turns at once; null: the default")] = None
    expires_at: Annotated[int | None, Doc("ms since the Unix epoch; null: never")] = None
    created_by: Annotated[str, Doc("user id of the maker")]


class KeyRevoked(Event):
    """An API key works no more."""

    key_id: Annotated[str, Doc("id of the key")]
    revoked_by: Annotated[str, Doc("user id")]


class GroupCreated(Event):
    """A group exists."""

    group: Annotated[str, Doc("name, as in group:NAME: lower-case letters, digits, . _ and -, at most 64")]
    owner: Annotated[str, Doc("user id")]


class GroupMemberAdded(Event):
    """A user is in a group."""

    group: Annotated[str, Doc("name")]
    user_id: Annotated[str, Doc("member")]
    changed_by: Annotated[str, Doc("user id")]


class GroupMemberRemoved(Event):
    """A user is in a group no more."""

    group: Annotated[str, Doc("name")]
    user_id: Annotated[str, Doc("member")]
    changed_by: Annotated[str, Doc("user id")]


class GroupDeleted(Event):
    """A group is gone, and with it what it could read."""

    group: Annotated[str, Doc("name")]
    deleted_by: Annotated[str, Doc("user id")]


class CollectionCreated(Event):
    """A collection exists."""

    collection_id: Annotated[str, Doc("lower-case letters, digits, . _ and -, at most 64")]
    name: Annotated[str, Doc("name for people")]
    owner: Annotated[str, Doc("user id")]
    readers: Annotated[list[str], Doc("principals: user:ID, group:NAME, public")]


class CollectionReadersChanged(Event):
    """Others may read a collection now."""

    collection_id: Annotated[str, Doc("collection")]
    readers: Annotated[list[str], Doc("principals, the whole new list")]
    changed_by: Annotated[str, Doc("user id")]


class CollectionDeleted(Event):
    """A collection is gone; nothing in it is found any more."""

    collection_id: Annotated[str, Doc("collection")]
    deleted_by: Annotated[str, Doc("user id")]
