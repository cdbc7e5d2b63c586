create or replace function plinth.send_messages(p_queue text, p_messages jsonb) returns setof uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _rows jsonb;
  -- A misspelt deduplication_key would be none.
  _fields constant text[] := '{payload, headers, group_key, deduplication_key, delay_ms}';
  _unknown record;
begin
  if coalesce(jsonb_typeof(p_messages), '') <> 'array' or jsonb_array_length(p_messages) > 10000
    or exists (select from jsonb_array_elements(p_messages) m where jsonb_typeof(m) <> 'object') then
    raise exception 'Messages are a JSON array of at most 10,000 objects' using errcode = 'PL422', detail = '{"code":"queue_message_invalid"}',
      hint = 'Send [{"payload": ...}, ...], in several calls if there are more.';
  end if;
  select e.n, k into _unknown from jsonb_array_elements(p_messages) with ordinality as e (m, n) cross join lateral jsonb_object_keys(e.m - _fields) k order by e.n, k limit 1;
  if found then
    raise exception 'Message % of % is not valid: there is no field %', _unknown.n, jsonb_array_length(p_messages), left(_unknown.k, 100) using errcode = 'PL422',
      detail = jsonb_build_object('code', 'queue_message_invalid', 'row', _unknown.n)::text,
      hint = format('A message takes %s.', array_to_string(_fields, ', '));
  end if;
  select coalesce(jsonb_agg(m || jsonb_build_object('id', plinth_kernel.uuid_v7(), 'queue', p_queue) order by n), '[]') into _rows
  from jsonb_array_elements(p_messages) with ordinality as e (m, n);
  perform plinth_queue.write_effects(_rows);
  return query
    select coalesce(d.message_id, (e.m ->> 'id')::uuid)
    from jsonb_array_elements(_rows) with ordinality as e (m, n)
    left join plinth_queue.deduplication d on d.tenant_id = plinth_kernel.tenant_id() and d.queue = p_queue and d.key = e.m ->> 'deduplication_key'
    order by e.n;
end
$$;
comment on function plinth.send_messages(text, jsonb) is
  'Sends up to 10,000 messages, [{payload, headers, group_key, deduplication_key, delay_ms}], in one statement, in the transaction of the caller. Returns their ids in the same order; the id of the earlier message where a deduplication key was used. Errors: kernel_tenant_required, queue_message_invalid, queue_payload_too_large.';
