"""access-changes -> views.users, sign_ins, keys, groups, group_members, collections: who may do what."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import sql

from infra.kafka.records import Received
from infra.postgres.moment import moment
from infra.postgres.pool import Connection
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

Row = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """What an event writes. `decided`: the column with the offset (or what the row gives it instead); `wins`: which of
    several such events counts.

    So any order and any repetition of the same records ends in the same rows.
    """

    table: str
    key: tuple[str, ...]
    decided: str
    wins: Literal["first", "last"]
    row: Callable[[Any, datetime], Row]


RULES: dict[type[Event], tuple[Rule, ...]] = {
    UserCreated: (Rule("users", ("user_id",), "created_offset", "first", lambda e, at: {
        "user_id": e.user_id, "name": e.name, "created_by": e.created_by, "created_at": at,
        "issuer": None, "subject": None}),),
    UserSignedIn: (
        Rule("users", ("user_id",), "created_offset", "first", lambda e, at: {
            "user_id": e.user_id, "name": e.name, "created_by": e.user_id, "created_at": at, "issuer": e.issuer,
            "subject": e.subject}),
        Rule("sign_ins", ("user_id", "issuer", "subject"), "issued_at", "last", lambda e, _: {
            "user_id": e.user_id, "issuer": e.issuer, "subject": e.subject, "groups": e.groups,
            "issued_at": e.issued_at, "expires_at": moment(e.expires_at)}),
    ),
    UserSwitched: (Rule("users", ("user_id",), "switched_offset", "last", lambda e, _: {
        "user_id": e.user_id, "enabled": e.enabled}),),
    KeyCreated: (Rule("keys", ("key_id",), "created_offset", "first", lambda e, at: {
        "key_id": e.key_id, "user_id": e.user_id, "name": e.name, "secret_sha256": e.secret_sha256, "scopes": e.scopes,
        "requests_per_minute": e.requests_per_minute, "turns_in_flight": e.turns_in_flight,
        "expires_at": None if e.expires_at is None else moment(e.expires_at), "created_by": e.created_by,
        "created_at": at}),),
    KeyRevoked: (Rule("keys", ("key_id",), "revoked_offset", "first", lambda e, at: {
        "key_id": e.key_id, "revoked_at": at}),),
    GroupCreated: (Rule("groups", ("group_name",), "created_offset", "first", lambda e, at: {
        "group_name": e.group, "owner": e.owner, "created_at": at}),),
    GroupDeleted: (Rule("groups", ("group_name",), "deleted_offset", "first", lambda e, at: {
        "group_name": e.group, "deleted_at": at}),),
    GroupMemberAdded: (Rule("group_members", ("group_name", "user_id"), "changed_offset", "last", lambda e, at: {
        "group_name": e.group, "user_id": e.user_id, "member": True, "changed_at": at}),),
    GroupMemberRemoved: (Rule("group_members", ("group_name", "user_id"), "changed_offset", "last", lambda e, at: {
        "group_name": e.group, "user_id": e.user_id, "member": False, "changed_at": at}),),
    CollectionCreated: (Rule("collections", ("collection_id",), "created_offset", "first", lambda e, at: {
        "collection_id": e.collection_id, "name": e.name, "owner": e.owner, "first_readers": e.readers,
        "created_at": at}),),
    CollectionReadersChanged: (Rule("collections", ("collection_id",), "changed_offset", "last", lambda e, _: {
        "collection_id": e.collection_id, "changed_readers": e.readers}),),
    CollectionDeleted: (Rule("collections", ("collection_id",), "deleted_offset", "first", lambda e, at: {
        "collection_id": e.collection_id, "deleted_at": at}),),
}  # fmt: skip


async def fold_access(db: Connection, received: Sequence[Received[Event]]) -> None:
    """Folds records of `access-changes`, in whatever order and however often they come."""
    rows: dict[Rule, list[Row]] = defaultdict(list)
    for record in received:
        for rule in RULES[type(record.event)]:
            row = rule.row(record.event, moment(record.event.occurred_at))
            rows[rule].append({rule.decided: record.offset} | row)
    async with db.cursor() as cursor:
        for rule, many in rows.items():
            await cursor.executemany(statement(rule, list(many[0])), many)


def statement(rule: Rule, columns: list[str]) -> sql.Composed:
    """The upsert of one rule: a row changes only when a record that counts more than the noted one comes."""
    named = {column: sql.Identifier(column) for column in columns}
    return sql.SQL(
        "insert into {table} as kept ({columns}) values ({values}) on conflict ({key}) do update set {written} "
        "where kept.{decided} is null or excluded.{decided} {counts_more} kept.{decided}"
    ).format(
        table=sql.Identifier(rule.table),
        columns=sql.SQL(", ").join(named.values()),
        values=sql.SQL(", ").join(sql.Placeholder(column) for column in columns),
        key=sql.SQL(", ").join(named[column] for column in rule.key),
        written=sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(name) for column, name in named.items() if column not in rule.key
        ),
        decided=sql.Identifier(rule.decided),
        counts_more=sql.SQL("<" if rule.wins == "first" else ">"),
    )
