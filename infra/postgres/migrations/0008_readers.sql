-- Turns asked in another protocol: they start a conversation of their own, and end when nobody reads them any more.

alter table state.turns add reader_at timestamptz;  -- when somebody last began to read its stream

-- As before, but a turn whose conversation has its own id starts that conversation.
create or replace function app.accept_turn(
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
  if wanted_conversation <> wanted_turn and not app.owns_conversation(wanted_owner, wanted_conversation) then
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

-- Somebody reads a turn's stream, at whichever replica.
create function app.note_reader(wanted text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  update state.turns set reader_at = clock_timestamp() where turn_id = wanted and sealed_at is null
$$;

-- Whether nobody has begun to read a turn's stream for so long, and it has no end yet.
create function app.is_abandoned(wanted text, seconds double precision) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select not exists (
    select 1 from state.turns t where t.turn_id = wanted
      and (t.sealed_at is not null or t.reader_at > clock_timestamp() - make_interval(secs => seconds)))
$$;
revoke all on function app.note_reader, app.is_abandoned from public;
grant execute on function app.note_reader, app.is_abandoned to turnlog_api;
