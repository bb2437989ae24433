-- A turn that goes onto the log beside its row is `sure` of its place: it is counted, and not refused.
drop function app.accept_turn(text, text, text, bytea, text, text, bytea, jsonb, text, int, double precision);
drop function app.take_turn(text, text, int, timestamptz);

-- One of a holder's places for turns in flight: how many are taken then, or null when all were. A place comes back by itself
-- at `wanted_until`; whoever is `sure` has one.
create function app.take_turn(wanted_turn text, wanted_holder text, most int, wanted_until timestamptz, sure boolean) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare others int;
begin
  perform app.lock_turns(wanted_holder);
  delete from state.turns_in_flight where holder = wanted_holder and until <= clock_timestamp();
  select count(*) into others from state.turns_in_flight where holder = wanted_holder and turn_id <> wanted_turn;
  if others >= most and not sure then
    return null;
  end if;
  insert into state.turns_in_flight values (wanted_turn, wanted_holder, wanted_until) on conflict do nothing;
  return others + 1;
end $$;

-- As before; `in_flight`: how many turns of the holder are then, for a new one.
create function app.accept_turn(
  wanted_turn text, wanted_owner text, wanted_key text, wanted_hash bytea, wanted_conversation text, wanted_parent text,
  wanted_value bytea, wanted_headers jsonb, holder text, most int, seconds double precision, sure boolean,
  out outcome text, out reference text, out record_key text, out "position" text, out in_flight int)
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
  in_flight := app.take_turn(wanted_turn, holder, most, clock_timestamp() + make_interval(secs => seconds), sure);
  if in_flight is null then
    outcome := 'full';
    return;
  end if;
  select a.outcome, a.reference, a.record_key, a."position" into outcome, reference, record_key, "position"
    from app.accept_request(wanted_turn, wanted_owner, wanted_key, wanted_hash, 'turns', wanted_conversation, wanted_value, wanted_headers) a;
  if outcome <> 'new' then  -- a twin was faster
    perform app.release_turns(array[wanted_turn]);
  end if;
end $$;

-- Places of turns that have their answer: one that was entered beside its record may have been answered before it was entered.
create function app.release_answered() returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  with gone as (
    delete from state.turns_in_flight f using views.answers a where a.turn_id = f.turn_id returning 1)
  select count(*) from gone
$$;

revoke all on function app.take_turn, app.accept_turn, app.release_answered from public;
grant execute on function app.accept_turn, app.release_answered to turnlog_api;

-- Whether a conversation is its caller's, and still there: the view, or (not folded yet) the request that started it, which may
-- be a turn.
create or replace function app.owns_conversation(wanted_owner text, wanted text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (select c.user_id = wanted_owner and c.deleted_offset is null from views.conversations c where c.conversation_id = wanted),
    (select r.owner = wanted_owner from state.requests r
     where r.reference = wanted and r.record_key = wanted and r.topic in ('conversation-changes', 'turns')),
    false)
$$;
