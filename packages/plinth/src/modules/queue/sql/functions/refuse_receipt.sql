create or replace function plinth_queue.refuse_receipt(p_id uuid, p_receives integer) returns void
language plpgsql stable security invoker set search_path = ''
as $$
declare
  _state text;
begin
  select v.status into _state from plinth.message_queue v where v.tenant_id = plinth_kernel.tenant_id() and v.id = p_id;
  raise exception 'The receipt %.% does not hold its message any more', p_id, p_receives using errcode = 'PL409',
    detail = jsonb_build_object('code', 'queue_receipt_lost', 'status', _state)::text,
    hint = 'Stop and roll back: the message was received by another, acknowledged or given back. Receive again, with a longer visibility or extend_message.';
end
$$;
comment on function plinth_queue.refuse_receipt(uuid, integer) is 'Always raises queue_receipt_lost; its detail says what has become of the message.';
