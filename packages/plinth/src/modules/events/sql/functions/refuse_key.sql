create or replace function plinth_events.refuse_key(p_key text) returns void
language plpgsql immutable
as $$
begin
  raise exception 'the idempotency key % was used for another event', p_key using errcode = 'PL409',
    detail = pg_catalog.jsonb_build_object('code', 'events_idempotency_conflict', 'idempotency_key', p_key)::text,
    hint = 'Send the same type, payload and aggregate under one key, or use a new key.';
end
$$;
comment on function plinth_events.refuse_key(text) is 'Error events_idempotency_conflict.';
