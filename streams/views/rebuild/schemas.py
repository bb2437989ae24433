"""The schema `views` once more, without its rows: tables, indexes, rights and policies; and what else names it.

Whatever Postgres says of a table is asked for with the schema as `search_path`: names come without it, and mean the
tables of another schema where that one is searched.
"""

# ruff: noqa: S608 - every part of a query here is a constant of this module

from dataclasses import dataclass
from itertools import chain
from typing import LiteralString

from infra.postgres.pool import Connection
from schemas.errors import Invalid

LIVE, NEXT, BEFORE = "views", "views_next", "views_before"
ROLE = "case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end"
STATEMENTS: tuple[LiteralString, ...] = (  # each gives statements; together, in this order, they make the schema
    """select format('create table %I (like views.%I including all excluding indexes)%s', relname, relname,
       ' with (' || array_to_string(reloptions, ', ') || ')')
     from pg_class where relnamespace = 'views'::regnamespace and relkind = 'r' order by relname""",
    """select format('alter table %I add constraint %I %s', relname, conname, pg_get_constraintdef(k.oid, true))
     from pg_constraint k join pg_class c on c.oid = conrelid
     where relnamespace = 'views'::regnamespace and contype in ('p', 'u', 'x')""",
    """select pg_get_indexdef(indexrelid, 0, true) from pg_index i join pg_class c on c.oid = indrelid
     where relnamespace = 'views'::regnamespace and relkind = 'r'
       and not exists (select 1 from pg_constraint where conindid = indexrelid)""",
    """select format('alter table %I enable row level security', relname) from pg_class
     where relnamespace = 'views'::regnamespace and relrowsecurity""",
    """select format('alter table %I force row level security', relname) from pg_class
     where relnamespace = 'views'::regnamespace and relforcerowsecurity""",
    f"""select format('grant %s on schema views_next to %s', privilege_type, {ROLE})
     from pg_namespace, aclexplode(nspacl) where nspname = 'views' and grantee <> nspowner""",
    f"""select format('grant %s on %I to %s', privilege_type, relname, {ROLE})
     from pg_class, aclexplode(relacl)
     where relnamespace = 'views'::regnamespace and relkind = 'r' and grantee <> relowner""",
    f"""select format('grant %s (%I) on %I to %s', privilege_type, attname, relname, {ROLE})
     from pg_class c join pg_attribute on attrelid = c.oid, aclexplode(attacl)
     where relnamespace = 'views'::regnamespace and relkind = 'r' and not attisdropped""",
    """select format('create policy %I on %I as %s for %s to %s', policyname, tablename, permissive, cmd,
       (select string_agg(quote_ident(role), ', ') from unnest(roles) role))
       || coalesce(' using (' || qual || ')', '') || coalesce(' with check (' || with_check || ')', '')
     from pg_policies where schemaname = 'views'""",
)
UNKNOWN = """select pg_describe_object('pg_class'::regclass, oid, 0) from pg_class
     where relnamespace = 'views'::regnamespace and relkind not in ('r', 'i')
   union all select pg_describe_object('pg_proc'::regclass, oid, 0) from pg_proc
     where pronamespace = 'views'::regnamespace
   union all select pg_describe_object('pg_trigger'::regclass, t.oid, 0)
     from pg_trigger t join pg_class c on c.oid = tgrelid where relnamespace = 'views'::regnamespace"""
# What stands on a schema's tables, or their row types, and lies elsewhere; of policies their names besides.
OUTSIDE = """
with ours as (
  select 'pg_class'::regclass as kind, oid from pg_class where relnamespace = to_regnamespace(%(schema)s)
  union all select 'pg_type'::regclass, oid from pg_type where typnamespace = to_regnamespace(%(schema)s))
select distinct pg_describe_object(d.classid, d.objid, 0), p.polname, n.nspname, o.relname
from pg_depend d join ours on (d.refclassid, d.refobjid) = (ours.kind, ours.oid)
left join pg_policy p on d.classid = 'pg_policy'::regclass and p.oid = d.objid
left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
left join pg_attrdef a on d.classid = 'pg_attrdef'::regclass and a.oid = d.objid
left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
left join pg_type t on d.classid = 'pg_type'::regclass and t.oid = d.objid
left join pg_class o on o.oid = coalesce(p.polrelid, k.conrelid, a.adrelid, r.ev_class, c.oid)
left join pg_namespace n on n.oid = o.relnamespace
where d.deptype <> 'i' and coalesce(o.relnamespace, t.typnamespace, 0) <> to_regnamespace(%(schema)s)"""
EXPRESSIONS = """select coalesce(' using (' || qual || ')', '') || coalesce(' with check (' || with_check || ')', '')
  from pg_policies where (policyname, schemaname, tablename) = (%s, %s, %s)"""


@dataclass(frozen=True)
class Policy:
    """A policy of a table elsewhere that looks into the views. `says`: its expressions, which name no schema."""

    name: str
    schema: str
    table: str
    says: str


async def clone(owner: Connection) -> None:
    """Makes `views_next`, empty; one that an earlier run left is dropped. Raises Invalid for what it cannot copy."""
    await policies_outside(owner)
    if unknown := [name async for (name,) in await owner.execute(UNKNOWN)]:
        raise Invalid(f"the schema views holds what cannot be made anew beside it: {', '.join(unknown)}")
    await drop(owner, NEXT)
    async with owner.transaction():
        await owner.execute("create schema views_next")
        await owner.execute("set local search_path = views")
        told = [await (await owner.execute(each)).fetchall() for each in STATEMENTS]
        await owner.execute("set local search_path = views_next")
        for (statement,) in chain.from_iterable(told):
            await owner.execute(statement.encode())
        if own := [name for name, _, schema, _ in await _outside(owner, LIVE) if schema == NEXT]:
            raise Invalid(f"the copy of the schema views stands on the schema itself: {', '.join(own)}")


async def drop(owner: Connection, schema: LiteralString) -> None:
    """Removes a schema that nobody uses, when there is one; raises Invalid when something elsewhere stands on it."""
    if others := [name for name, *_ in await _outside(owner, schema)]:
        raise Invalid(f"the schema {schema} cannot be dropped, because of: {', '.join(others)}")
    await owner.execute(f"drop schema if exists {schema} cascade")


async def policies_outside(owner: Connection) -> list[Policy]:
    """The policies elsewhere that look into the views; raises Invalid when anything else is bound to their tables."""
    found = []
    async with owner.transaction():
        await owner.execute("set local search_path = views")
        for described, name, schema, table in await _outside(owner, LIVE):
            if name is None:
                raise Invalid(f"{described} is bound to the tables of the views as they are: it would not follow")
            row = await (await owner.execute(EXPRESSIONS, [name, schema, table])).fetchone()
            assert row is not None
            found.append(Policy(name, schema, table, row[0]))
    return found


async def _outside(owner: Connection, schema: str) -> list[tuple[str, str | None, str, str]]:
    rows = await (await owner.execute(OUTSIDE, {"schema": schema})).fetchall()
    return [(described, name, space, table) for described, name, space, table in rows]
