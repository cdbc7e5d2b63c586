create or replace function plinth.send_message(
  p_queue text,
  p_payload jsonb,
  p_delay interval default null,
  p_group_key text default null,
  p_deduplication_key text default null,
  p_headers jsonb default null
) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _id uuid := plinth_kernel.uuid_v7();
  _first uuid;
begin
  perform plinth_queue.write_effects(jsonb_build_array(jsonb_build_object('id', _id, 'queue', p_queue, 'payload', p_payload, 'headers', p_headers,
    'group_key', p_group_key, 'deduplication_key', p_deduplication_key, 'delay_ms', extract(epoch from p_delay) * 1000)));
  if p_deduplication_key is null then
    return _id;
  end if;
  select d.message_id into _first from plinth_queue.deduplication d
  where d.tenant_id = plinth_kernel.tenant_id() and d.queue = p_queue and d.key = p_deduplication_key;
  return coalesce(_first, _id);
end
$$;
comment on function plinth.send_message(text, jsonb, interval, text, text, jsonb) is
  'Sends a message in the transaction of the caller and returns its id. p_delay: nobody receives it before (0 to 14 days). p_group_key: messages of one group are received one after the other. p_deduplication_key: if a message with it was sent within the window of the queue (5 minutes), nothing is written and the id of that message is returned. Errors: kernel_tenant_required, queue_message_invalid, queue_payload_too_large.';
