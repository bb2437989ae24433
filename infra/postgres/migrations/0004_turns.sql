-- Turns: what was accepted, who has claimed it, what was sealed; and the views of conversations.

-- Accepted commands, kept 24 h: an idempotency key's answer, and the bytes to produce again when their maker died before it
-- could mark them. position null: nobody has said yet that the record is in the log.
create table state.requests (
  reference text primary key,          -- turn, conversation or event id: what the client is told
  owner text not null, key text, hash bytea not null,
  topic text not null, record_key text not null, value bytea, headers jsonb,
  "position" text, created_at timestamptz not null default now());
create unique index requests_by_key on state.requests (owner, key) where key is not null;
create index requests_by_record on state.requests (record_key);
create index requests_pending on state.requests (created_at) where "position" is null;
create index requests_by_age on state.requests using brin (created_at);

-- Claims. One row a turn, for ever; value and headers are the sealed record until the views have folded it.
-- holding: an attempt runs, or ended without a word; only the latter is counted, at the next claim.
create table state.turns (
  turn_id text primary key, conversation_id text, user_id text, parent_turn_id text, log_offset bigint,
  attempt bigint not null default 0, tries int not null default 0, holding boolean not null default false,
  claimed_at timestamptz, stop_requested_at timestamptz,
  sealed_at timestamptz, status text, reason text, seq int, length int, value bytea, headers jsonb)
  with (fillfactor = 50);
create index turns_open on state.turns (claimed_at) where sealed_at is null;
create index turns_in_order on state.turns (conversation_id, log_offset);

create table views.conversations (
  conversation_id text primary key, user_id text not null,
  started_at timestamptz, started_offset bigint, title bytea,
  turned_at timestamptz,                                       -- the newest turn
  deleted_at timestamptz, deleted_offset bigint);
create index conversations_by_owner on views.conversations (user_id, conversation_id) where deleted_offset is null;

create table views.turns (
  turn_id text primary key, conversation_id text not null, user_id text not null, asked_at timestamptz not null,
  deadline timestamptz not null, model text not null, question bytea, question_sha256 text, parent_turn_id text,
  "partition" int not null, "offset" bigint not null);
create index on views.turns (conversation_id, "offset");

create table views.stops (
  turn_id text primary key, user_id text not null, reason text not null, requested_at timestamptz not null, "offset" bigint not null);

create table views.answers (
  turn_id text primary key, conversation_id text not null, attempt bigint not null, seq int not null,
  status text not null, reason text, parent_turn_id text, "text" bytea, text_sha256 text, length int not null,
  citations jsonb not null, passages jsonb not null, retrieved jsonb, events jsonb not null,
  model text not null, provider text not null, provider_model text not null,
  prompt_tokens int, completion_tokens int, pieces int not null, timings jsonb not null, recorded_at timestamptz not null,
  "partition" int not null, "offset" bigint not null);

do $$
declare one text;
begin
  foreach one in array array['state.requests', 'state.turns', 'views.conversations', 'views.turns', 'views.stops', 'views.answers'] loop
    execute format('alter table %s enable row level security', one);
    execute format('alter table %s force row level security', one);
    execute format('create policy functions on %s to turnlog_owner using (true) with check (true)', one);
  end loop;
  foreach one in array array['views.conversations', 'views.turns', 'views.stops', 'views.answers'] loop
    execute format('grant select, insert, update on %s to turnlog_views', one);
    execute format('create policy views_writes on %s to turnlog_views using (true) with check (true)', one);
  end loop;
end $$;

-- The chat worker: claims and seals; whether the views know a turn, and in which order a conversation's turns came.
grant select, insert, update on state.turns to turnlog_chat;
create policy claims on state.turns to turnlog_chat using (true) with check (true);
grant select (turn_id, conversation_id, "offset") on views.turns to turnlog_chat;
create policy claims on views.turns for select to turnlog_chat using (true);
grant select (turn_id, attempt, seq, length, status, reason) on views.answers to turnlog_chat;
create policy claims on views.answers for select to turnlog_chat using (true);

-- The views worker drops the sealed bytes that it has folded.
grant select (turn_id, value), update (value, headers) on state.turns to turnlog_views;
create policy folded on state.turns for all to turnlog_views using (true) with check (true);

-- The API reads what its caller owns, and of a deleted conversation nothing.
grant select on views.conversations, views.turns, views.stops, views.answers to turnlog_api;
create policy owner on views.conversations for select to turnlog_api using (user_id = (select app.user_id()));
create policy owner on views.turns for select to turnlog_api using (
  user_id = (select app.user_id()) and not exists (
    select 1 from views.conversations c where c.conversation_id = turns.conversation_id and c.deleted_offset is not null));
create policy owner on views.stops for select to turnlog_api using (
  exists (select 1 from views.turns t where t.turn_id = stops.turn_id));
create policy owner on views.answers for select to turnlog_api using (  -- a request that nobody could read is in no view of turns
  exists (select 1 from views.turns t where t.turn_id = answers.turn_id)
  or exists (select 1 from state.requests r where r.reference = answers.turn_id and r.owner = (select app.user_id())
    and not exists (
      select 1 from views.conversations c where c.conversation_id = answers.conversation_id and c.deleted_offset is not null)));
grant select on state.requests to turnlog_api;
create policy owner on state.requests for select to turnlog_api using (owner = (select app.user_id()));
grant select on state.turns to turnlog_api;
create policy owner on state.turns for select to turnlog_api using (user_id = (select app.user_id()));

-- What an existing row means. One's own reference: this same statement was done before, and its answer was lost.
create function app.outcome_of(found text, wanted text, found_hash bytea, wanted_hash bytea) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case when found = wanted then 'new' when found_hash = wanted_hash then 'known' else 'other' end
$$;

-- Accepts a command once. outcome: new (produce it), known (the same request before), other (the key was used for another).
create function app.accept_request(
  wanted_reference text, wanted_owner text, wanted_key text, wanted_hash bytea, wanted_topic text, wanted_record_key text,
  wanted_value bytea, wanted_headers jsonb, out outcome text, out reference text, out record_key text, out "position" text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare found_hash bytea;
begin
  insert into state.requests (reference, owner, key, hash, topic, record_key, value, headers)
    values (wanted_reference, wanted_owner, wanted_key, wanted_hash, wanted_topic, wanted_record_key, wanted_value, wanted_headers)
    on conflict do nothing;
  if found then
    outcome := 'new'; reference := wanted_reference; record_key := wanted_record_key;
    return;
  end if;
  select r.reference, r.record_key, r."position", r.hash into reference, record_key, "position", found_hash
    from state.requests r where r.reference = wanted_reference or (r.owner = wanted_owner and r.key = wanted_key)
    order by r.reference = wanted_reference desc limit 1;
  outcome := app.outcome_of(reference, wanted_reference, found_hash, wanted_hash);
end $$;

-- Whether a conversation is its caller's, and still there: the view, or (not folded yet) the request that started it.
create function app.owns_conversation(wanted_owner text, wanted text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (select c.user_id = wanted_owner and c.deleted_offset is null from views.conversations c where c.conversation_id = wanted),
    (select r.owner = wanted_owner from state.requests r where r.reference = wanted and r.topic = 'conversation-changes'),
    false)
$$;

-- Accepts a turn, with all that is checked before. outcome besides accept_request's: no-conversation, no-parent, open-parent,
-- full (all places for turns in flight are taken).
create function app.accept_turn(
  wanted_turn text, wanted_owner text, wanted_key text, wanted_hash bytea, wanted_conversation text, wanted_parent text,
  wanted_value bytea, wanted_headers jsonb, holder text, most int, seconds double precision,
  out outcome text, out reference text, out record_key text, out "position" text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare found_hash bytea;
begin
  perform app.lock_turns(holder);  -- first: twins that come at once are told of the first one's turn, not that it is full
  if wanted_key is not null then
    select r.reference, r.record_key, r."position", r.hash into reference, record_key, "position", found_hash
      from state.requests r where r.owner = wanted_owner and r.key = wanted_key;
    if found then
      outcome := app.outcome_of(reference, wanted_turn, found_hash, wanted_hash);
      return;
    end if;
  end if;
  if not app.owns_conversation(wanted_owner, wanted_conversation) then
    outcome := 'no-conversation';
    return;
  end if;
  if wanted_parent is not null then
    outcome := app.parent_state(wanted_parent, wanted_conversation);
    if outcome <> 'sealed' then return; end if;
  end if;
  if not app.take_turn(wanted_turn, holder, most, clock_timestamp() + make_interval(secs => seconds)) then
    outcome := 'full';
    return;
  end if;
  select a.outcome, a.reference, a.record_key, a."position" into outcome, reference, record_key, "position"
    from app.accept_request(wanted_turn, wanted_owner, wanted_key, wanted_hash, 'turns', wanted_conversation, wanted_value, wanted_headers) a;
  if outcome <> 'new' then  -- a twin was faster
    perform app.release_turns(array[wanted_turn]);
  end if;
end $$;

create function app.parent_state(wanted text, wanted_conversation text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select case
    when exists (select 1 from views.answers where turn_id = wanted and conversation_id = wanted_conversation)
      or exists (select 1 from state.turns where turn_id = wanted and conversation_id = wanted_conversation and sealed_at is not null)
      then 'sealed'
    when exists (select 1 from state.requests where reference = wanted and topic = 'turns' and record_key = wanted_conversation)
      or exists (select 1 from views.turns where turn_id = wanted and conversation_id = wanted_conversation)
      then 'open-parent'
    else 'no-parent' end
$$;

-- These records are in the log; their bytes are needed no more.
create function app.mark_requests(done text[], positions text[]) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  update state.requests r set "position" = n.at, value = null, headers = null
  from unnest(done, positions) n(reference, at) where r.reference = n.reference and r."position" is null
$$;

-- Records that nobody has marked for some seconds, locked until the transaction ends: produce them again, then mark them.
create function app.pending_requests(older_seconds double precision, most int)
returns table (reference text, topic text, record_key text, value bytea, headers jsonb)
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select r.reference, r.topic, r.record_key, r.value, r.headers from state.requests r
  where r."position" is null and r.created_at < clock_timestamp() - make_interval(secs => older_seconds)
  order by r.created_at limit most for update skip locked
$$;

create function app.forget_requests(older_hours double precision, most int) returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  with old as (
    select reference from state.requests
    where "position" is not null and created_at < now() - make_interval(secs => older_hours * 3600) limit most),
  gone as (delete from state.requests where reference in (select reference from old) returning 1)
  select count(*) from gone
$$;

-- A caller's stop of a turn that is its own: the worker that runs it hears of it at once.
create function app.stop_turn(wanted text, wanted_conversation text, wanted_owner text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into state.turns as t (turn_id, conversation_id, user_id, stop_requested_at)
    values (wanted, wanted_conversation, wanted_owner, clock_timestamp())
    on conflict (turn_id) do update set stop_requested_at = coalesce(t.stop_requested_at, excluded.stop_requested_at);
  select pg_notify('turn_stops', wanted)
$$;

-- The unfinished turns of a conversation (which is deleted): as requests, claims or views know them.
create function app.open_turns(wanted_conversation text, wanted_owner text) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select turn_id from (
    select v.turn_id from views.turns v where v.conversation_id = wanted_conversation and v.user_id = wanted_owner
    union
    select r.reference from state.requests r
    where r.topic = 'turns' and r.record_key = wanted_conversation and r.owner = wanted_owner
    union
    select t.turn_id from state.turns t where t.conversation_id = wanted_conversation and t.user_id = wanted_owner) k
  where not exists (select 1 from state.turns t where t.turn_id = k.turn_id and t.sealed_at is not null)
    and not exists (select 1 from views.answers a where a.turn_id = k.turn_id)
$$;

-- When the oldest claim that is not sealed was made, for a replica's tail to begin before it.
create function app.oldest_claim(longest_seconds double precision) returns timestamptz
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select min(claimed_at) from state.turns
  where sealed_at is null and claimed_at > now() - make_interval(secs => longest_seconds)
$$;

revoke all on function app.outcome_of, app.accept_request, app.owns_conversation, app.accept_turn, app.parent_state, app.mark_requests,
  app.pending_requests, app.forget_requests, app.stop_turn, app.open_turns, app.oldest_claim from public;
grant execute on function app.accept_request, app.accept_turn, app.mark_requests, app.pending_requests, app.forget_requests,
  app.stop_turn, app.oldest_claim to turnlog_api;
grant execute on function app.stop_turn, app.open_turns to turnlog_views;
