"""Pools of connections, one per role, and sessions that see only what their caller may."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from infra.settings import Role, Settings
from infra.waiting import until_available
from schemas.errors import Unavailable

T = TypeVar("T")
Row = tuple[Any, ...]
Connection = AsyncConnection[Row]
Pool = AsyncConnectionPool[Connection]


def conninfo(settings: Settings, role: Role, *, schema: str = "views") -> str:
    """The connection string of a role; it holds a secret, so it is never logged.

    The folds name their tables without a schema: `schema` is where the role `views` finds them.
    """
    return make_conninfo(
        options=" ".join(f"-c {option}" for option in _options(role, schema)),
        host=settings.postgres_host,
        port=settings.postgres_port,
        dbname=settings.postgres_database,
        user=f"turnlog_{role}",
        password=settings.postgres_password(role).get_secret_value(),
        connect_timeout=5,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
        application_name=f"turnlog {role}",
    )


def _options(role: Role, schema: str) -> Iterator[str]:
    """Every statement is a look-up by keys; with arrays among its arguments Postgres would plan it anew each time."""
    yield "plan_cache_mode=force_generic_plan"
    if role == "views":
        yield f"search_path={schema}"


@asynccontextmanager
async def open_pool(settings: Settings, role: Role, *, size: int = 6) -> AsyncIterator[Pool]:
    """An autocommit pool for a role; waits until the database is there and migrated for it."""
    await until_available("postgres", lambda: _reach(conninfo(settings, role)))
    pool: Pool = AsyncConnectionPool(
        conninfo(settings, role),
        min_size=min(2, size),
        max_size=size,
        kwargs={"autocommit": True, "prepare_threshold": 0},
        open=False,
        timeout=10,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def _reach(dsn: str) -> None:
    try:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as db:
            await db.execute("select 1 from views.offsets limit 1")
    except psycopg.Error as exc:
        raise Unavailable("postgres", str(exc).splitlines()[0] if str(exc) else type(exc).__name__) from exc


@asynccontextmanager
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of the pool; a database that is away is Unavailable, and its dead connections leave the pool."""
    try:
        async with pool.connection() as db:
            yield db
    except (psycopg.OperationalError, PoolTimeout) as exc:
        await pool.check()  # without it each dead connection fails one more caller
        raise Unavailable("postgres", str(exc) or type(exc).__name__) from exc


async def twice(read: Callable[[], Awaitable[T]]) -> T:
    """Reads again when the first try found dead connections: after a restart of the database nobody need notice."""
    try:
        return await read()
    except Unavailable:
        return await read()


@asynccontextmanager
async def session(pool: Pool, user_id: str, principals: Iterable[str]) -> AsyncIterator[Connection]:
    """A transaction that row-level security holds to one caller. No user: no rows, and no error."""
    async with connection(pool) as db, db.transaction():
        await db.execute(
            "select set_config('app.user_id', %s, true), set_config('app.principals', %s, true)",
            (user_id, json.dumps(sorted(principals))),
        )
        yield db
