-- First statement of a transaction whose work must happen once. The primary key does the waiting: a second caller stands behind the first
-- one's uncommitted row until that commits (then it is answered) or rolls back (then it works itself).
create or replace function plinth.begin_idempotent(
  p_scope text,
  p_key text,
  p_request_hash text default null,
  p_entity_type text default null,
  p_wait_ms integer default 2000,
  p_lease interval default '5 minutes',
  p_keep interval default '7 days'
) returns table (replayed boolean, response_status integer, response_body jsonb, entity_id text)
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := coalesce(plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000');
  _now timestamptz := pg_catalog.clock_timestamp();
  _waited text := pg_catalog.current_setting('lock_timeout');
  _found plinth_idempotency.keys;
begin
  if p_key is null or p_key !~ '^[\x21-\x7e]{1,255}$' then
    raise exception 'the idempotency key is not 1 to 255 visible ASCII characters' using errcode = 'PL400', detail = '{"code":"idempotency_key_invalid"}',
      hint = 'Send a UUID.';
  end if;
  begin
    perform pg_catalog.set_config('lock_timeout', greatest(p_wait_ms, 1)::text, true);
    insert into plinth_idempotency.keys as k (tenant_id, scope, key, request_hash, entity_type, locked_until, expires_at)
    values (_tenant, p_scope, p_key, p_request_hash, p_entity_type, _now + p_lease, _now + p_keep)
    on conflict on constraint keys_pkey do update
      set id = plinth_kernel.uuid_v7(), request_hash = excluded.request_hash, state = 'started', entity_type = excluded.entity_type, entity_id = null, response_status = null,
        response_body = null, locked_until = excluded.locked_until, correlation_id = excluded.correlation_id, created_at = excluded.created_at,
        finished_at = null, expires_at = excluded.expires_at
      -- An answer is kept until it expires; a start that was committed and never finished is taken over after its lease, by another request when it has expired.
      where (k.state = 'done' and k.expires_at <= _now)
        or (k.state = 'started' and k.locked_until <= _now and (k.expires_at <= _now or k.request_hash is not distinct from excluded.request_hash))
    returning k.* into _found;
  exception when lock_not_available then
    raise exception 'a call with the idempotency key % is still running', p_key using errcode = 'PL409', detail = '{"code":"idempotency_in_progress"}',
      hint = 'Wait a moment and send the same call again.';
  end;
  perform pg_catalog.set_config('lock_timeout', _waited, true);
  if _found.key is not null then
    return query select false, null::integer, null::jsonb, null::text;
    return;
  end if;
  select k.* into strict _found from plinth_idempotency.keys as k where k.tenant_id = _tenant and k.scope = p_scope and k.key = p_key;
  if _found.request_hash is distinct from p_request_hash then
    raise exception 'the idempotency key % was used for another call', p_key using errcode = 'PL422', detail = '{"code":"idempotency_key_reused"}',
      hint = 'Use a new key for every different call.';
  end if;
  if _found.state = 'started' then
    raise exception 'a call with the idempotency key % is still running', p_key using errcode = 'PL409', detail = '{"code":"idempotency_in_progress"}',
      hint = 'Wait a moment and send the same call again.';
  end if;
  return query select true, _found.response_status, _found.response_body, _found.entity_id;
end
$$;
comment on function plinth.begin_idempotent(text, text, text, text, integer, interval, interval) is
  'Claims an idempotency key in the transaction of the work. Answers (replayed false) when the work is to be done, or (replayed true, status, body, entity id) when it was done before. Waits p_wait_ms behind a running call. Errors: idempotency_key_invalid, idempotency_key_reused, idempotency_in_progress.';
