-- Who may do what, folded from `access-changes`. Every row remembers the offset that decided it (all events of one entity
-- lie on one partition), so a record folded twice, or after a later one, changes nothing. What is revoked or deleted stays
-- so: a name that was given up is never given to somebody else, because readers may still be granted to it.
create table views.users (
  user_id text primary key,
  name text, created_by text, created_at timestamptz, created_offset bigint,   -- the first UserCreated
  enabled boolean not null default true, switched_offset bigint);              -- the last UserSwitched

create table views.keys (
  key_id text primary key,
  user_id text, name text, secret_sha256 text, scopes text[], requests_per_minute int, turns_in_flight int,
  expires_at timestamptz, created_by text, created_at timestamptz, created_offset bigint,
  revoked_at timestamptz, revoked_offset bigint);
create index on views.keys (user_id);

create table views.groups (
  group_name text primary key,
  owner text, created_at timestamptz, created_offset bigint,
  deleted_at timestamptz, deleted_offset bigint);

create table views.group_members (
  group_name text not null, user_id text not null,
  member boolean not null, changed_at timestamptz not null, changed_offset bigint not null,
  primary key (group_name, user_id));
create index on views.group_members (user_id) where member;

create table views.collections (
  collection_id text primary key,
  name text, owner text, first_readers text[], created_at timestamptz, created_offset bigint,
  changed_readers text[], changed_offset bigint,
  deleted_at timestamptz, deleted_offset bigint,
  readers text[] generated always as (coalesce(changed_readers, first_readers, '{}')) stored,
  live boolean generated always as (created_offset is not null and deleted_offset is null) stored);
create index on views.collections using gin (readers) where live;
create index on views.collections (owner) where live;

-- Lost with the database, and nothing is: the buckets fill again, and turns end by themselves.
create unlogged table state.rate_buckets (
  bucket text primary key, tokens double precision not null, at timestamptz not null) with (fillfactor = 50);
create table state.turns_in_flight (
  turn_id text primary key, holder text not null, until timestamptz not null);
create index on state.turns_in_flight (holder);

-- Administrators' sessions name this principal besides their own; no reader list can (it is no valid principal there).
create function app.is_admin() returns boolean language sql stable parallel safe
  return 'scope:admin' = any(app.principals());

do $$
declare one text;
begin
  foreach one in array array['views.users', 'views.keys', 'views.groups', 'views.group_members', 'views.collections',
                             'state.rate_buckets', 'state.turns_in_flight'] loop
    execute format('alter table %s enable row level security', one);
    execute format('alter table %s force row level security', one);
  end loop;
  foreach one in array array['views.users', 'views.keys', 'views.groups', 'views.group_members', 'views.collections'] loop
    execute format('grant select, insert, update on %s to turnlog_views', one);
    execute format('create policy views_writes on %s to turnlog_views using (true) with check (true)', one);
    execute format('create policy functions_read on %s for select to turnlog_owner using (true)', one);
  end loop;
  foreach one in array array['state.rate_buckets', 'state.turns_in_flight'] loop
    execute format('create policy functions_write on %s to turnlog_owner using (true) with check (true)', one);
  end loop;
end $$;

grant select on views.users, views.groups, views.group_members, views.collections to turnlog_api;
grant select (key_id, user_id, name, scopes, requests_per_minute, turns_in_flight, expires_at, created_by, created_at,
              created_offset, revoked_at, revoked_offset) on views.keys to turnlog_api;
grant select on views.collections to turnlog_documents;

-- Groups are known to their members and owner, members to those who know the group, users to those who share a group.
create policy callers on views.groups for select to turnlog_api using (
  created_offset is not null and deleted_offset is null
  and ('group:' || group_name = any ((select app.principals())::text[]) or owner = (select app.user_id()) or (select app.is_admin())));
create policy callers on views.group_members for select to turnlog_api using (
  member and exists (select 1 from views.groups g where g.group_name = group_members.group_name));
create policy callers on views.users for select to turnlog_api using (
  created_offset is not null
  and (user_id = (select app.user_id()) or (select app.is_admin())
       or exists (select 1 from views.group_members m where m.user_id = users.user_id)));
create policy callers on views.keys for select to turnlog_api using (
  created_offset is not null and (user_id = (select app.user_id()) or (select app.is_admin())));
create policy callers on views.collections for select to turnlog_api using (
  live and (owner = (select app.user_id()) or readers && (select app.principals()) or (select app.is_admin())));
create policy admission on views.collections for select to turnlog_documents using (true);

-- The groups a user is in now, sorted.
create function app.groups_of(wanted text) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(m.group_name order by m.group_name), '{}')
  from views.group_members m join views.groups g using (group_name)
  where m.user_id = wanted and m.member and g.created_offset is not null and g.deleted_offset is null
$$;

-- What a user is to reader lists, now: nothing at all when there is no such user, or it is switched off.
create function app.principals_of(wanted text) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce((
    select array['public', 'user:' || u.user_id] || (select coalesce(array_agg('group:' || g), '{}') from unnest(app.groups_of(wanted)) g)
    from views.users u where u.user_id = wanted and u.enabled and u.created_offset is not null), '{}')
$$;

-- A key that works now (not revoked, its user switched on), with the hash that its secret must have.
create function app.key_of(wanted text) returns table (
  user_id text, secret_sha256 text, scopes text[], requests_per_minute int, turns_in_flight int, expires_at timestamptz,
  principals text[])
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select k.user_id, k.secret_sha256, k.scopes, k.requests_per_minute, k.turns_in_flight, k.expires_at, app.principals_of(k.user_id)
  from views.keys k join views.users u using (user_id)
  where k.key_id = wanted and k.created_offset is not null and k.revoked_offset is null
    and u.enabled and u.created_offset is not null
$$;

-- Whether an id was ever given to a collection; says no more, because whose it is concerns nobody else.
create function app.collection_taken(wanted text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select 1 from views.collections where collection_id = wanted and created_offset is not null)
$$;

create function app.group_taken(wanted text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select 1 from views.groups where group_name = wanted and created_offset is not null)
$$;

-- A token bucket shared by all replicas: up to `wanted` whole tokens, as many as there are.
create function app.take_tokens(wanted_bucket text, capacity double precision, per_second double precision, wanted int,
                                out granted int, out tokens_left double precision)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare full_now double precision;
begin
  insert into state.rate_buckets values (wanted_bucket, capacity, clock_timestamp()) on conflict do nothing;
  select least(capacity, b.tokens + greatest(0, extract(epoch from clock_timestamp() - b.at)) * per_second) into full_now
    from state.rate_buckets b where b.bucket = wanted_bucket for update;
  granted := greatest(0, least(wanted, floor(full_now)::int));
  tokens_left := full_now - granted;
  update state.rate_buckets set tokens = tokens_left, at = clock_timestamp() where bucket = wanted_bucket;
end $$;

-- A holder's turns are accepted one after the other, until the transaction ends.
create function app.lock_turns(wanted_holder text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select pg_advisory_xact_lock(7422, hashtext(wanted_holder))
$$;

-- One of a holder's places for turns in flight; false when all are taken. A place comes back by itself at `wanted_until`.
create function app.take_turn(wanted_turn text, wanted_holder text, most int, wanted_until timestamptz) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform app.lock_turns(wanted_holder);
  delete from state.turns_in_flight where holder = wanted_holder and until <= clock_timestamp();
  if (select count(*) from state.turns_in_flight where holder = wanted_holder and turn_id <> wanted_turn) >= most then
    return false;
  end if;
  insert into state.turns_in_flight values (wanted_turn, wanted_holder, wanted_until) on conflict do nothing;
  return true;
end $$;

create function app.release_turns(ended text[]) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  delete from state.turns_in_flight where turn_id = any(ended)
$$;

revoke all on function app.groups_of, app.principals_of, app.key_of, app.collection_taken, app.group_taken, app.take_tokens,
  app.lock_turns, app.take_turn, app.release_turns from public;
grant execute on function app.principals_of to turnlog_api, turnlog_chat;
grant execute on function app.key_of, app.collection_taken, app.group_taken, app.take_tokens, app.take_turn to turnlog_api;
grant execute on function app.release_turns to turnlog_api, turnlog_views;
