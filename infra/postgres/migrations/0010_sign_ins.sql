-- Users who come with a token of an OIDC issuer. A name belongs to whoever had it first: (issuer, subject), or a user that
-- an administrator made (both null). Groups of a token count as long as it lasts, and only where such a group exists.
alter table views.users add issuer text, add subject text;

create table views.sign_ins (
  user_id text not null, issuer text not null, subject text not null,
  groups text[] not null, issued_at bigint not null, expires_at timestamptz not null,  -- of the newest token
  primary key (user_id, issuer, subject));
alter table views.sign_ins enable row level security;
alter table views.sign_ins force row level security;
grant select, insert, update on views.sign_ins to turnlog_views;
create policy views_writes on views.sign_ins to turnlog_views using (true) with check (true);
create policy functions_read on views.sign_ins for select to turnlog_owner using (true);

-- The groups a user is in now: put there by somebody, or by its newest token; sorted.
create or replace function app.groups_of(wanted text) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(g.group_name order by g.group_name), '{}')
  from (select m.group_name from views.group_members m where m.user_id = wanted and m.member
        union select unnest(s.groups) from views.sign_ins s join views.users u using (user_id, issuer, subject)
              where s.user_id = wanted and s.expires_at > clock_timestamp()) named
  join views.groups g using (group_name) where g.created_offset is not null and g.deleted_offset is null
$$;

-- Who has a name, and what its newest token said. No row: nobody has it. Not `theirs`: it is somebody else's.
create function app.signed_in(wanted text, wanted_issuer text, wanted_subject text) returns table (
  enabled boolean, theirs boolean, groups text[], issued_at bigint, expires_at timestamptz, principals text[])
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select u.enabled, coalesce((u.issuer, u.subject) = (wanted_issuer, wanted_subject), false),
    s.groups, s.issued_at, s.expires_at, app.principals_of(u.user_id)
  from views.users u left join views.sign_ins s on (s.user_id, s.issuer, s.subject) = (u.user_id, wanted_issuer, wanted_subject)
  where u.user_id = wanted and u.created_offset is not null
$$;
revoke all on function app.signed_in from public;
grant execute on function app.signed_in to turnlog_api;
