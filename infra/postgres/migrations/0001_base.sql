-- Schemas, rights, and what row-level security asks about its caller. The roles themselves are made by migrate.py.
create schema app;
create schema state;
create schema views;
grant usage on schema app, state, views to turnlog_api, turnlog_chat, turnlog_documents, turnlog_views;

-- The caller of this transaction; null (so: no rows) when nobody said who it is.
create function app.user_id() returns text language sql stable parallel safe
  return nullif(current_setting('app.user_id', true), '');

create function app.principals() returns text[] language sql stable parallel safe
  return array(select jsonb_array_elements_text(coalesce(nullif(current_setting('app.principals', true), ''), '[]')::jsonb));

-- How far the views have folded each partition. topic_id: another id under the same name means another topic: stop.
create table views.offsets (
  topic text not null, partition int not null, next_offset bigint not null, topic_id text not null,
  primary key (topic, partition));
alter table views.offsets enable row level security;
alter table views.offsets force row level security;
grant select, insert, update on views.offsets to turnlog_views;
grant select on views.offsets to turnlog_api, turnlog_chat, turnlog_documents;
create policy everybody_reads on views.offsets for select using (true);
create policy views_writes on views.offsets for all to turnlog_views using (true) with check (true);
