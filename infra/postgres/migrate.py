"""Provisioning Postgres: roles, database, and the migrations that it has not seen, in order, each in a transaction.

`python -m infra.postgres.migrate` connects as the superuser to make roles and the database, then as `turnlog_owner`.
"""

import sys
from importlib.resources import files

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infra.postgres.pool import conninfo
from infra.settings import Role, Settings, read_settings
from schemas.errors import Invalid

MIGRATING = 7421  # the advisory lock of whoever changes the tables
ROLES: tuple[Role, ...] = ("owner", "api", "chat", "documents", "views")


def migrate(settings: Settings) -> list[str]:
    """Makes roles and database, applies what is missing, and names what it did; raises psycopg.Error."""
    with psycopg.connect(superuser_dsn(settings, "postgres"), autocommit=True) as db:
        db.execute("select pg_advisory_lock(7420)")  # roles are the server's: two provisioners would collide on them
        done = [f"role {role}" for role in ROLES if _role(db, settings, role)]
        done += [f"database {settings.postgres_database}"] if _database(db, settings) else []
    with psycopg.connect(conninfo(settings, "owner")) as owner:
        return done + _apply(owner)


def drop(settings: Settings) -> None:
    """Removes the database, whoever is connected (tests)."""
    with psycopg.connect(superuser_dsn(settings, "postgres"), autocommit=True) as db:
        db.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(settings.postgres_database))
        )


def superuser_dsn(settings: Settings, database: str) -> str:
    """The connection string of the superuser; for provisioning and tests, never for a process that serves."""
    return make_conninfo(
        host=settings.postgres_host,
        port=settings.postgres_port,
        dbname=database,
        user=settings.postgres_superuser,
        password=settings.postgres_superuser_password.get_secret_value(),
        connect_timeout=5,
    )


def _role(db: psycopg.Connection, settings: Settings, role: Role) -> bool:
    name = sql.Identifier(f"turnlog_{role}")
    made = not db.execute("select 1 from pg_roles where rolname = %s", [f"turnlog_{role}"]).fetchone()
    if made:
        db.execute(sql.SQL("create role {} login nosuperuser nobypassrls nocreatedb nocreaterole").format(name))
    password = sql.Literal(settings.postgres_password(role).get_secret_value())
    db.execute(sql.SQL("alter role {} password {}").format(name, password))
    return made


def _database(db: psycopg.Connection, settings: Settings) -> bool:
    if db.execute("select 1 from pg_database where datname = %s", [settings.postgres_database]).fetchone():
        return False
    name = sql.Identifier(settings.postgres_database)
    db.execute(sql.SQL("create database {} owner turnlog_owner").format(name))
    db.execute(sql.SQL("revoke all on database {} from public").format(name))
    for role in ROLES:
        db.execute(sql.SQL("grant connect on database {} to {}").format(name, sql.Identifier(f"turnlog_{role}")))
    return True


def _apply(owner: psycopg.Connection) -> list[str]:
    with owner.transaction():
        owner.execute("select pg_advisory_xact_lock(%s)", [MIGRATING])  # two provisioners at once: one after the other
        owner.execute(
            "create table if not exists public.migrations (name text primary key, applied_at timestamptz default now())"
        )
        seen = {str(name) for (name,) in owner.execute("select name from public.migrations")}
        folder = files("infra.postgres") / "migrations"
        missing = sorted(
            (f for f in folder.iterdir() if f.name.endswith(".sql") and f.name not in seen), key=lambda f: f.name
        )
        for file in missing:
            owner.execute(file.read_text().encode())
            owner.execute("insert into public.migrations (name) values (%s)", [file.name])
        return [file.name for file in missing]


def main() -> int:
    """Prints a line for each thing that was made; exit code 1 with the cause when the settings are wrong."""
    try:
        settings = read_settings()
    except Invalid as exc:
        print(exc, file=sys.stderr)
        return 1
    for line in migrate(settings) or ["postgres: nothing to do"]:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
