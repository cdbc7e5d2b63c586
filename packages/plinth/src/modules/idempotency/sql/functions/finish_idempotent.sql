-- Stores the answer beside the work, in its transaction: both are there or neither.
create or replace function plinth.finish_idempotent(
  p_scope text,
  p_key text,
  p_response_status integer default 200,
  p_response_body jsonb default null,
  p_entity_type text default null,
  p_entity_id text default null
) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  update plinth_idempotency.keys as k
  set state = 'done', response_status = p_response_status, response_body = p_response_body, entity_type = coalesce(p_entity_type, k.entity_type), entity_id = p_entity_id,
    locked_until = null, finished_at = pg_catalog.clock_timestamp()
  where k.tenant_id = coalesce(plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000') and k.scope = p_scope and k.key = p_key and k.state = 'started';
  if not found then
    raise exception 'the idempotency key % was not begun', p_key using errcode = 'PL404', detail = '{"code":"idempotency_not_begun"}',
      hint = 'Call begin_idempotent with the same scope and key first.';
  end if;
end
$$;
comment on function plinth.finish_idempotent(text, text, integer, jsonb, text, text) is
  'Stores the answer of the call that begin_idempotent claimed the key for. Error: idempotency_not_begun.';
