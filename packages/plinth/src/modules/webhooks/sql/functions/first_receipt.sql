create or replace function plinth.first_receipt(p_source text, p_message_id text) returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  if coalesce(length(p_source), 0) not between 1 and 200 or coalesce(length(p_message_id), 0) not between 1 and 200 then
    raise exception 'The source and the id of a message have 1 to 200 characters' using errcode = 'PL400', detail = '{"code":"webhooks_message_invalid"}', hint = 'Give the id under which the provider repeats the message.';
  end if;
  -- A transaction that takes the same message waits here for the end of the other one.
  insert into plinth_webhooks.inbound_messages (tenant_id, source, message_id) values (plinth_kernel.require_tenant(), p_source, p_message_id) on conflict do nothing;
  return found;
end
$$;
comment on function plinth.first_receipt(text, text) is
  'True the first time that a message of a source is received, false when it is a repetition (remembered for 30 days). Belongs into the transaction of what the message causes: both hold or neither. Errors: webhooks_message_invalid, kernel_tenant_required.';
