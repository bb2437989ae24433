-- Whether a conversation was deleted, for a worker that asks for its user's rights in the same breath.
create function app.is_deleted_conversation(wanted text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select 1 from views.conversations where conversation_id = wanted and deleted_offset is not null)
$$;
revoke all on function app.is_deleted_conversation from public;
grant execute on function app.is_deleted_conversation to turnlog_chat;
