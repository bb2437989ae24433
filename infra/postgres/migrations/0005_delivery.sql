-- What delivery remembers: crashes of a record's handler, and which topic a worker's offsets are about.
create table state.tries (
  worker text not null, topic text not null, partition int not null, "offset" bigint not null,
  tries int not null, error text not null, at timestamptz not null default now(),
  primary key (worker, topic, partition, "offset"));
alter table state.tries enable row level security;
alter table state.tries force row level security;
grant select, insert, update, delete on state.tries to turnlog_documents, turnlog_chat;
create policy workers on state.tries for all to turnlog_documents, turnlog_chat using (true) with check (true);

-- The id that a topic had when a worker first read it: another id under the same name is another topic.
create table state.topic_ids (
  worker text not null, topic text not null, topic_id text not null,
  primary key (worker, topic));
alter table state.topic_ids enable row level security;
alter table state.topic_ids force row level security;
grant select, insert on state.topic_ids to turnlog_documents, turnlog_chat;
create policy workers on state.topic_ids for all to turnlog_documents, turnlog_chat using (true) with check (true);
