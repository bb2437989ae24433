"""Every route with another user's every identifier, and every table with another user's session.

Routes and tables that are added later are walked, too: a name that the walk does not know makes it fail until it is
taught, in `Belongings.words` when it identifies something of somebody's, in HARMLESS when it does not.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute
from psycopg import sql

from api.app import ROUTERS, create_app
from infra.postgres.pool import conninfo
from infra.settings import Settings
from tests.api.belongings import DOCUMENT, NOTHING, Belongings, settle
from tests.api.house import EVERYTHING, House, superuser
from tests.api.walking import Call, Json, Untaught, Words, calls

MESSAGE = {"role": "user", "content": "who?"}
HARMLESS: dict[str, Any] = {
    "after": "",
    "by": "both",
    "cursor": "",
    "deadline_seconds": 60,
    "dimensions": 384,
    "document_id": DOCUMENT,  # a name within its collection
    "enabled": True,
    "encoding_format": "float",
    "expires_at": "2999-01-01T00:00:00Z",
    "frequency_penalty": 0,
    "from": "1h",
    "idempotency-key": "once",
    "input": "a text",
    "last-event-id": "0.0.0",
    "last_event_id": "0.0.0",
    "limit": 10,
    "logit_bias": {},
    "logprobs": False,
    "max_completion_tokens": 5,
    "max_tokens": 5,
    "messages": [MESSAGE],
    "metadata": {"a": "b"},
    "model": "answerer",
    "n": 1,
    "name": "a name",
    "parallel_tool_calls": False,
    "passages": 1,
    "presence_penalty": 0,
    "query": "who?",
    "reason": "to see",
    "question": "who?",
    "requests_per_minute": 1,
    "response_format": {"type": "text"},
    "scopes": ["search"],
    "seed": 1,
    "service": False,
    "service_tier": "auto",
    "source_version": 1,
    "stop": ["."],
    "store": False,
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0,
    "title": "a title",
    "to": "2999-01-01",
    "tool_choice": "none",
    "tools": [],
    "top_p": 1,
    "turns_in_flight": 1,
    "url": "https://example.org/",
    "user": "somebody",
    "wait": "searchable",
    "x-turnlog-detach": "true",
}
SAID_TOO: dict[
    str, dict[str, Any]
] = {  # nobody answers here, so a completion is only begun; and vectors come from one model
    "/v1/chat/completions": {"stream": True},
    "/v1/embeddings": {"model": "embedder"},
}
ODD = [
    "",
    "\0",
    "\ud800",
    "\u2028 ä",
    "a" * 3000,
    "../%00?#",
    "%ff",
    -1,
    2**31,
    2**63 - 1,
    2**70,
    1e300,
    "9999-12-31T23:59:59-14:00",
    None,
    [],
    [None],
    [MESSAGE | {"content": "\0\ud800"}],
    [MESSAGE | {"content": []}],
    {"a": {}},
    True,
]
NOBODYS = {  # tables that hold nothing of anybody
    "views.offsets",  # how far each topic is folded
    "state.serving_index",  # which index is searched
}
CHOSEN = {("post", "/v1/collections", "body collection_id")}  # names that one may choose: free ones are given
NOT_DESCRIBED = {"/live", "/ready", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
ODD_TOGETHER = 8
REFUSED_BEFORE_IT_IS_READ = {401, 403, 429}  # such a request shows nothing
WORKS = {200, 201, 202, 204, 409}
SAMPLES: dict[str, Any] = {
    "text": "x",
    "text[]": [],
    "bigint": 1,
    "integer": 1,
    "boolean": False,
    "double precision": 1.0,
    "timestamp with time zone": "2026-01-01T00:00:00Z",
    "bytea": "",
    "jsonb": {},
    "uuid": NOTHING.turn_id,
}
TABLES = """select format('%I.%I', schemaname, relname) from pg_stat_user_tables
  where schemaname in ('views', 'state', 'app') order by 1"""


@dataclass(frozen=True)
class Walk:
    """Alice has everything, Bob has everything, and they have nothing in common."""

    house: House
    alice: Belongings
    bob: Belongings
    api: Json

    def words(self, other: Belongings) -> Words:
        """Bob's own names, and somebody else's."""
        return Words({name: values[0] for name, values in self.bob.words.items()}, other.words, HARMLESS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def walk(house: House) -> Walk:
    """The house with Alice and Bob in it."""
    alice, bob = await settle(house, "alice"), await settle(house, "bob")
    return Walk(house, alice, bob, create_app(house.settings).openapi())


async def test_every_route_answers_404_to_another_users_identifier_wherever_it_stands(walk: Walk) -> None:
    bob = walk.house.people["bob"]
    wrong = []
    for call, same in zip(calls(walk.api, walk.words(walk.alice)), calls(walk.api, walk.words(NOTHING)), strict=True):
        if call.slot == "nothing":
            continue
        answer = await ask(bob, call)
        if answer.status_code != 404:
            wrong.append(f"{call}: {answer.status_code} {answer.text[:200]}")
        elif (call.method, call.template, call.slot) not in CHOSEN:
            nowhere = await ask(bob, same)
            if told(answer, call) != told(nowhere, same):
                wrong.append(f"{call}: says something else than {same}: {answer.text} / {nowhere.text}")
    assert not wrong, "\n".join(wrong)


async def test_the_same_requests_with_ones_own_identifiers_work(walk: Walk) -> None:
    """Else the 404s above would prove nothing."""
    admin = await walk.house.key("bob", *EVERYTHING, "audit", "admin")
    own = [call for call in calls(walk.api, walk.words(NOTHING)) if call.slot == "nothing"]
    wrong = []
    for call in sorted(own, key=lambda call: (call.method == "delete", -len(call.template))):
        answer = await ask(admin, call)
        if answer.status_code not in WORKS:
            wrong.append(f"{call.method} {call.template}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(600)  # some two thousand requests
async def test_no_value_however_odd_is_a_server_error(walk: Walk) -> None:
    admin = await walk.house.key("bob", *EVERYTHING, "audit", "admin", turns_in_flight=100_000)
    own = {name: values[0] for name, values in walk.bob.words.items()}
    odd = Words(own, dict.fromkeys([*own, *HARMLESS], ODD), HARMLESS)
    wrong, beside = [], asyncio.Semaphore(ODD_TOGETHER)

    async def look(call: Call) -> None:
        async with beside:
            answer = await ask(admin, call)
        if answer.status_code >= 500 or answer.status_code in REFUSED_BEFORE_IT_IS_READ:
            wrong.append(f"{call}: {answer.status_code} {answer.text[:200]}")

    sent = [
        call
        for call in calls(walk.api, odd)
        if call.slot != "nothing"
        and (call.slot.split()[0] == "body" or is_sendable(call.value))
        and (call.slot, call.value) != ("body stream", None)  # a whole answer, which nobody gives here
    ]
    await asyncio.gather(*map(look, sent))
    assert len(sent) > 1000
    assert not wrong, "\n".join(wrong)
    await walk.house.user("late")  # and the views fold what was accepted


def is_sendable(value: Any) -> bool:
    """Whether a path, a query or a header can hold it."""
    return isinstance(value, str) and value.isprintable() and value.isascii() and value != ""


def test_no_route_is_missing_in_the_description_that_is_walked(walk: Walk) -> None:
    described = {(method.upper(), path) for path, methods in walk.api["paths"].items() for method in methods}
    served = {
        (method, route.path_format)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert served <= described
    plain = {path for route in create_app(walk.house.settings).routes if (path := getattr(route, "path", None))}
    assert plain <= NOT_DESCRIBED | {path for _, path in described}


def test_a_name_that_the_walk_does_not_know_makes_it_fail(walk: Walk) -> None:
    for place in ("path", "query", "header"):
        route = {"parameters": [{"name": "secret_plan_id", "in": place, "required": False}]}
        api = {"paths": {"/v1/plans/{secret_plan_id}": {"get": route}}}
        with pytest.raises(Untaught):
            list(calls(api, walk.words(walk.alice)))
    schema = {"properties": {"secret_plan_id": {"type": "string"}}}
    body = {"requestBody": {"content": {"application/json": {"schema": {"properties": {"nested": schema}}}}}}
    with pytest.raises(Untaught):
        list(calls({"paths": {"/v1/plans": {"post": body}}}, walk.words(walk.alice)))


async def test_every_table_shows_no_row_to_another_users_session(walk: Walk) -> None:
    with superuser(walk.house.settings) as root, session_of(walk.house.settings, "eve") as eve:
        read = {table for (table,) in root.execute(TABLES).fetchall() if may(eve, table, "select")} - NOBODYS
        assert len(read) > 10
        for table in read:
            if one_row(root, table) is None:
                give_row(root, table, walk.alice)
        showing = {t for t in read if eve.execute(f"select 1 from {t} limit 1".encode()).fetchone()}
        assert showing == set()


async def test_every_table_forces_row_level_security_and_no_role_bypasses_it(walk: Walk) -> None:
    with superuser(walk.house.settings) as root:
        open_ = root.execute(
            "select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname in ('views', 'state', 'app') and c.relkind in ('r', 'p') "
            "and not (c.relrowsecurity and c.relforcerowsecurity)"
        ).fetchall()
        assert open_ == []
        assert (
            root.execute(
                "select rolname from pg_roles where rolname like 'turnlog%%' and (rolbypassrls or rolsuper)"
            ).fetchall()
            == []
        )


async def test_a_stranger_changes_no_row_of_any_table_and_forges_none(walk: Walk) -> None:
    with superuser(walk.house.settings) as root, session_of(walk.house.settings, "eve") as eve:
        for (table,) in root.execute(TABLES).fetchall():
            if may(eve, table, "delete"):
                assert eve.execute(f"delete from {table}".encode()).rowcount == 0, table
            if may(eve, table, "update"):
                column = columns(root, table)[0]
                assert eve.execute(f"update {table} set {column} = {column}".encode()).rowcount == 0, table
            if may(eve, table, "insert") and (row := one_row(root, table)):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), eve.transaction():
                    eve.execute(
                        f"insert into {table} select * from json_populate_record(null::{table}, %s)".encode(), row
                    )


async def ask(client: httpx.AsyncClient, call: Call) -> httpx.Response:
    """The answer; of a stream only its head."""
    too = {name: value for name, value in SAID_TOO.get(call.template, {}).items() if call.slot != f"body {name}"}
    call = replace(call, body=call.body | too) if too else call
    async with client.stream(call.method, call.url, **call.arguments) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer._content = b""
        else:
            await answer.aread()
        return answer


def told(answer: httpx.Response, call: Call) -> tuple[int, str]:
    """What an answer says, but for the identifier that was asked with."""
    names = call.value if isinstance(call.value, list) else [call.value]
    text = answer.text
    for name in names:
        text = text.replace(str(name), "?")
    return answer.status_code, text


@contextmanager
def session_of(settings: Settings, user_id: str) -> Iterator[psycopg.Connection]:
    """A connection of the API, held by row-level security to one user, in a transaction that is rolled back."""
    with psycopg.connect(conninfo(settings, "api")) as db:
        principals = json.dumps(["public", f"user:{user_id}"])
        db.execute(
            "select set_config('app.user_id', %s, true), set_config('app.principals', %s, true)", [user_id, principals]
        )
        yield db
        db.rollback()


def may(db: psycopg.Connection, table: str, what: str) -> bool:
    """Whether this role has a right on any column of a table."""
    ask_for = "has_table_privilege" if what == "delete" else "has_any_column_privilege"
    row = db.execute(sql.SQL("select {}(%s, %s)").format(sql.Identifier(ask_for)), [table, what]).fetchone()
    return bool(row and row[0])


def columns(db: psycopg.Connection, table: str) -> list[str]:
    """The columns that the API may update."""
    found = db.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped "
        "and has_column_privilege('turnlog_api', attrelid, attnum, 'update')",
        [table],
    )
    return [f'"{name}"' for (name,) in found]


def give_row(db: psycopg.Connection, table: str, has: Belongings) -> None:
    """Puts a row of somebody's into a table that the log alone does not fill."""
    described = db.execute(
        "select attname, format_type(atttypid, null) from pg_attribute where attrelid = %s::regclass and attnum > 0 "
        "and not attisdropped and attgenerated = ''",
        [table],
    ).fetchall()
    names = {name: values[0] for name, values in has.words.items()} | {"key": f"{has.collection}/{DOCUMENT}"}
    row = {name: names.get(name, SAMPLES[kind]) for name, kind in described}
    db.execute(f"insert into {table} select * from json_populate_record(null::{table}, %s)".encode(), [json.dumps(row)])


def one_row(db: psycopg.Connection, table: str) -> tuple[str] | None:
    """A row of somebody, as JSON."""
    return db.execute(f"select row_to_json(t)::text from {table} t limit 1".encode()).fetchone()
