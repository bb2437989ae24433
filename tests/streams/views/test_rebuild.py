"""The views made anew from the log, beside the live ones: equal, or the difference is named; then in their place."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from infra.access import record_key
from infra.postgres.freshness import Freshness, end_offsets
from infra.postgres.pool import conninfo
from infra.settings import Settings
from ops.views import with_owner
from schemas.access import KeyCreated
from schemas.codec import Encoded
from schemas.errors import Invalid
from schemas.turns import TurnStopRequested
from streams.views.folds import FOLDS
from streams.views.rebuild.compare import Difference, Sample
from streams.views.rebuild.rebuild import rebuild
from tests.api.house import House, superuser
from tests.asking import Asking, ask, open_asking
from tests.chatting import conversation
from tests.kafka_reading import all_of
from tests.streams.views.operating import turnlog
from topics.catalogue import ACCESS_CHANGES, DEAD_LETTERS, TURN_STOPS
from turnlog.errors import TurnlogError

STRUCTURE = """
select 'policy', tablename || '.' || policyname, row(permissive, roles, cmd, qual, with_check)::text
  from pg_policies where schemaname = 'views'
union all select 'index', indexname, indexdef from pg_indexes where schemaname = 'views'
union all select 'table', relname, row(relowner, relrowsecurity, relforcerowsecurity, reloptions,
  (select array_agg(acl::text order by acl::text) from unnest(relacl) acl))::text
  from pg_class where relnamespace = 'views'::regnamespace and relkind = 'r'
union all select 'column', relname || '.' || attname, row(attnum, atttypid, attnotnull, attgenerated,
  pg_get_expr(adbin, adrelid), (select array_agg(acl::text order by acl::text) from unnest(attacl) acl))::text
  from pg_class c join pg_attribute a on attrelid = c.oid left join pg_attrdef on (adrelid, adnum) = (attrelid, attnum)
  where relnamespace = 'views'::regnamespace and relkind = 'r' and attnum > 0 and not attisdropped
union all select 'constraint', conname, pg_get_constraintdef(k.oid) from pg_constraint k
  where connamespace = 'views'::regnamespace
union all select 'schema', nspname, array(select unnest(nspacl)::text order by 1)::text
  from pg_namespace where nspname like 'views%'
order by 1, 2, 3"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asking(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asking]:
    """API, views, chat and documents workers, and people who know each other."""
    async with open_asking(settings, tmp_path_factory.mktemp("models")) as opened:
        yield opened


@pytest.fixture
def house(asking: Asking) -> House:
    """Its doors."""
    return asking.house


def look(settings: Settings, query: str, *args: Any) -> list[tuple[Any, ...]]:
    """Rows that row-level security does not hide."""
    with superuser(settings) as db:
        found = db.execute(query.encode(), args or None)
        return found.fetchall() if found.description else []


@asynccontextmanager
async def over_and_over(*jobs: Callable[[int], Awaitable[None]]) -> AsyncIterator[None]:
    """Does each job again and again beside the body; raises what one of them raises."""
    enough = asyncio.Event()

    async def repeat(job: Callable[[int], Awaitable[None]]) -> None:
        for number in count():
            await job(number)
            if enough.is_set():
                return

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(repeat(job))
        yield
        enough.set()


async def test_views_made_anew_under_load_are_the_same_and_everybody_goes_on(asking: Asking) -> None:
    settings, anna, bob = asking.settings, asking.anna, asking.house.people["bob"]
    where = await conversation(anna)
    seen: set[int] = set()

    async def asks(_: int) -> None:
        await ask(asking, where, "Which pump is in hall 3?")

    async def publishes(number: int) -> None:
        name = f"load-{number}"
        made = await anna.post("/v1/collections", json={"collection_id": name, "name": name, "readers": []})
        assert made.status_code == 201, made.text
        path = f"/v1/collections/{name}/documents/d"
        head = {"content-type": "text/plain"}
        put = await anna.put(path, content="words", headers=head, params={"wait": "searchable"})
        assert put.is_success, put.text

    async def reads(_: int) -> None:
        answers = (await anna.get(f"/v1/conversations/{where}"), await anna.get("/v1/collections/works/documents"))
        seen.update(answer.status_code for answer in answers)
        forbidden = await bob.get(f"/v1/conversations/{where}")
        assert forbidden.status_code == 404, forbidden.text
        assert {one["collection_id"] for one in (await bob.get("/v1/collections")).json()} == {"secrets"}
        assert (await bob.get("/v1/me")).json()["principals"] == ["public", "user:bob"]

    before = look(settings, STRUCTURE)
    async with over_and_over(asks, publishes, reads, reads):
        for _ in range(2):
            report = await rebuild(settings)
            assert (report.switched, report.differences) == (True, [])
            assert report.tables["answers"] > 0
            assert report.tables["documents"] > 0
    assert seen == {200}
    assert look(settings, STRUCTURE) == before
    await until_folded(settings)
    report = await rebuild(settings, check=True)
    assert (report.switched, report.differences) == (False, [])


async def test_a_planted_difference_is_found_and_named_and_stays_until_it_is_accepted(house: House) -> None:
    settings = house.settings
    await house.user("carl")
    look(settings, "update views.users set name = 'Somebody', enabled = false where user_id = 'carl'")
    look(settings, "insert into views.groups (group_name, owner) values ('ghosts', 'carl')")
    look(settings, "delete from views.collections where collection_id = 'works'")
    code, out, err = await turnlog(settings, "views", "rebuild")
    assert code == 1, err
    for said in ("carl: other: enabled, name", "ghosts: only in the live views", "works: only in those made anew"):
        assert said in out
    assert "--accept-differences puts it in place" in err
    assert "Somebody" not in out + err
    assert look(settings, "select name from views.users where user_id = 'carl'") == [("Somebody",)]
    report = await rebuild(settings, check=True, accept=True)
    assert not report.switched
    assert report.differences[-1] == Difference("users", other=1, samples=[Sample("carl", "other: enabled, name")])
    assert (await rebuild(settings, accept=True)).switched
    assert look(settings, "select name, enabled from views.users where user_id = 'carl'") == [("Carl", True)]
    assert (await rebuild(settings)).differences == []


async def test_what_an_aborted_run_left_is_in_nobodys_way_and_only_one_runs_at_once(house: House) -> None:
    settings = house.settings
    with psycopg.connect(conninfo(settings, "owner"), autocommit=True) as owner:
        for schema in ("views_next", "views_before"):
            owner.execute(f"create schema {schema}; create table {schema}.users (user_id text)".encode())
        owner.execute("select pg_advisory_lock(7425)")
        with pytest.raises(Invalid, match="another run"):
            await rebuild(settings)
    assert (await rebuild(settings)).switched
    assert look(settings, "select nspname from pg_namespace where nspname like 'views%'") == [("views",)]


async def test_a_run_that_is_stopped_takes_its_tables_with_it(house: House) -> None:
    def stops(_what: str, _done: int, _of: int) -> None:
        raise Invalid("enough")

    with pytest.raises(Invalid, match="enough"):
        await rebuild(house.settings, heard=stops)
    assert look(house.settings, "select nspname from pg_namespace where nspname like 'views%'") == [("views",)]


async def test_dead_letters_are_passed_over_and_state_is_not_touched(house: House) -> None:
    settings = house.settings
    await house.publisher.publish_bytes(ACCESS_CHANGES, "user:x", Encoded(b"garbage", [("type", b"UserCreated")]))
    too_many = KeyCreated(
        key_id="0" * 16,
        user_id="x",
        name="x",
        secret_sha256="",
        scopes=[],
        created_by="test",
        requests_per_minute=2**40,
    )
    await house.publisher.publish(ACCESS_CHANGES, record_key(too_many), too_many)
    stop = TurnStopRequested(turn_id="t", conversation_id="c", user_id="anna", reason="user")
    await house.tell(TURN_STOPS, "c", stop)
    await until_folded(settings)
    letters = len(await all_of(settings, DEAD_LETTERS))
    assert letters == 2
    look(settings, "delete from state.turns where turn_id = 't'")
    report = await rebuild(settings)
    assert (report.switched, report.skipped) == (True, letters)
    assert len(await all_of(settings, DEAD_LETTERS)) == letters
    assert look(settings, "select * from state.turns where turn_id = 't'") == []


async def test_policies_elsewhere_follow_and_what_cannot_follow_is_named_before_anything_is_done(house: House) -> None:
    settings = house.settings
    look(settings, "create policy test on state.tries to turnlog_api using (exists (select from views.users))")
    look(settings, "create function app.test() returns bigint return (select count(*) from views.users)")
    with pytest.raises(Invalid, match=r"function app.test\(\) is bound to the tables"):
        await rebuild(settings)
    look(settings, "drop function app.test()")
    assert (await rebuild(settings)).switched
    ((qual,),) = look(settings, "select qual from pg_policies where policyname = 'test'")
    assert "FROM views.users" in qual
    look(settings, "drop policy test on state.tries")


def test_without_the_owners_password_it_says_where_that_is(settings: Settings) -> None:
    with pytest.raises(TurnlogError, match="TURNLOG_POSTGRES_PASSWORD_OWNER"):
        with_owner(settings.model_copy(update={"postgres_password_owner": SecretStr("")}))


async def until_folded(settings: Settings) -> None:
    """Returns when the views have reached the ends."""
    async with Freshness.open(settings, "views") as freshness:
        assert await freshness.wait_for_all(await end_offsets(settings, [fold.topic for fold in FOLDS]), 60)
