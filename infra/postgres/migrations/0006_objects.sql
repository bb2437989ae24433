-- Who may name which object. Rows change through these functions only: whoever uploads or names an object touches the rows
-- of all its owners, so that the sweeper, which looks again under their locks, sees that it was too late.
revoke insert, update on state.objects from turnlog_api;
create policy functions on state.objects to turnlog_owner using (true) with check (true);

-- Uploaded, or too large for a record. In the same transaction its bytes are put, so that a sweep waits for both.
create function app.claim_object(wanted text, wanted_owner text, wanted_size bigint) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into state.objects (sha256, owner, size) values (wanted, wanted_owner, wanted_size) on conflict do nothing;
  update state.objects set touched_at = clock_timestamp() where sha256 = wanted;
$$;

-- The size of an object that this owner may name, null when it may not; after it, the object stays for the grace time.
create function app.name_object(wanted text, wanted_owner text) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare found_size bigint;
begin
  select o.size into found_size from state.objects o where o.sha256 = wanted and o.owner = wanted_owner for update;
  if found then
    update state.objects set touched_at = clock_timestamp() where sha256 = wanted;
  end if;
  return found_size;
end $$;

revoke all on function app.claim_object, app.name_object from public;
grant execute on function app.claim_object, app.name_object to turnlog_api, turnlog_documents;
