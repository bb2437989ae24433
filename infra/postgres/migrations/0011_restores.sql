-- Versions whose passages, or whose row, were lost: the documents worker makes them anew from the log, oldest first.
create table state.restores (
  index int not null, collection_id text not null, document_id text not null, "offset" bigint not null,
  since timestamptz not null default now(),
  primary key (index, collection_id, document_id, "offset"));
create index on state.restores (index, "offset");
alter table state.restores enable row level security;
alter table state.restores force row level security;
grant select, insert, delete on state.restores to turnlog_documents;
create policy steps on state.restores to turnlog_documents using (true) with check (true);
create policy functions on state.restores for select to turnlog_owner using (true);

-- How many versions are waited for in the index that questions go to; a thousand stand for more.
create function app.restores_left() returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select count(*) from (select 1 from state.restores r join state.serving_index s using (index) limit 1000) counted
$$;
revoke all on function app.restores_left from public;
grant execute on function app.restores_left to turnlog_api;
