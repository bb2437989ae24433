-- Documents: what is known of them (views, folded from the log), and how far the steps are with them (state).
create table views.documents (
  collection_id text not null, document_id text not null,
  -- from `documents`: what was decided last, and the newest accepted version
  last_offset bigint, positions jsonb not null default '{}', source_version bigint,
  accepted_offset bigint, accepted_at timestamptz, publisher text, content_sha256 text, object_sha256 text, size bigint,
  media_type text, title text, url text, readers text[],
  withdrawn_offset bigint, withdrawn_at timestamptz,
  -- from `document-status`: the receipt of the highest version
  told_version bigint, told_offset bigint, told_at timestamptz, outcome text, stage text, code text, reason text,
  passages int, live_version bigint, objects_at timestamptz,
  -- from `document-status`: the last refusal at admission; such a record never got a version
  refused_offset bigint, refused_at timestamptz, refused_code text, refused_reason text,
  primary key (collection_id, document_id));
create index on views.documents (object_sha256) where object_sha256 is not null;

-- One row a document and index, for ever. `last_offset` fences: whoever wants to write holds the newest decided offset.
-- phase: writing (passages may lie in the index), live, failed, withdrawn. outcome: the receipt for last_offset.
create table state.documents (
  index int not null, collection_id text not null, document_id text not null,
  last_offset bigint not null, positions jsonb not null default '{}', source_version bigint,
  phase text not null, outcome text, code text, stage text, reason text, waiting_for text,
  digest text, passages int, readers text[], object_sha256 text,
  live_version bigint, live_digest text, live_passages int, live_readers text[], live_object text,
  hidden_at timestamptz, index_at timestamptz, objects_at timestamptz,
  primary key (index, collection_id, document_id)) with (fillfactor = 50);
create index on state.documents (object_sha256) where object_sha256 is not null;
create index on state.documents (live_object) where live_object is not null;

-- Passages to delete: versions that are not live any more, or never became so. Gone from here: swept.
create table state.leftovers (
  index int not null, collection_id text not null, document_id text not null, version bigint not null,
  passages int not null, since timestamptz not null default now(),
  primary key (index, collection_id, document_id, version));
create index on state.leftovers (since);

-- Who uploaded which object. The row is also the lock between naming an object and deleting it.
create table state.objects (
  sha256 text not null, owner text not null, size bigint not null,
  created_at timestamptz not null default now(), touched_at timestamptz not null default now(),
  primary key (sha256, owner));
create index on state.objects (touched_at);

-- The index that questions go to, and the embedder that made its vectors: chosen together.
create table state.serving_index (
  singleton boolean primary key default true check (singleton), index int not null, embedder text not null);
insert into state.serving_index (index, embedder) values (1, 'embedder');

-- Whether the caller reads a collection; being an administrator is not enough to read people's words.
create function app.reads_collection(wanted text) returns boolean language sql stable parallel safe as $$
  select exists (
    select 1 from views.collections c where c.collection_id = wanted and c.live
      and (c.owner = (select app.user_id()) or c.readers && (select app.principals())))
$$;
create function app.keeps_collection(wanted text) returns boolean language sql stable parallel safe as $$
  select exists (
    select 1 from views.collections c where c.collection_id = wanted and c.live and c.owner = (select app.user_id()))
$$;

do $$
declare one text;
begin
  foreach one in array array['views.documents', 'state.documents', 'state.leftovers', 'state.objects', 'state.serving_index'] loop
    execute format('alter table %s enable row level security', one);
    execute format('alter table %s force row level security', one);
  end loop;
  foreach one in array array['state.documents', 'state.leftovers', 'state.objects'] loop
    execute format('grant select, insert, update, delete on %s to turnlog_documents', one);
    execute format('create policy steps on %s to turnlog_documents using (true) with check (true)', one);
  end loop;
end $$;

grant select, insert, update on views.documents to turnlog_views;
create policy views_writes on views.documents to turnlog_views using (true) with check (true);
grant select on views.documents to turnlog_documents, turnlog_api;
create policy steps on views.documents for select to turnlog_documents using (true);
grant select on state.documents to turnlog_api;
grant select on state.serving_index to turnlog_api, turnlog_documents, turnlog_chat;
create policy everybody_reads on state.serving_index for select using (true);

-- A document is seen by the collection's owner, and by its readers when the document names none of its own, or one of them.
create policy callers on views.documents for select to turnlog_api using (
  app.keeps_collection(collection_id)
  or (app.reads_collection(collection_id) and accepted_offset is not null
      and (readers is null or readers && (select app.principals()))));
create policy callers on state.documents for select to turnlog_api using (
  app.keeps_collection(collection_id)
  or (app.reads_collection(collection_id) and (live_readers is null or live_readers && (select app.principals()))));

-- An object is its uploader's: only who uploaded it may name it.
grant select, insert, update on state.objects to turnlog_api;
create policy owner on state.objects to turnlog_api
  using (owner = 'user:' || (select app.user_id())) with check (owner = 'user:' || (select app.user_id()));
