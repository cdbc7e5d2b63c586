create or replace function plinth.resend_delivery(p_delivery_id uuid) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _dead plinth_webhooks.deliveries;
begin
  select d.* into _dead from plinth_webhooks.deliveries d
  where d.tenant_id = (select c.tenant_id from plinth_kernel.current_context() c) and d.id = p_delivery_id for update;
  if _dead.id is null then
    raise exception 'There is no delivery %', coalesce(p_delivery_id::text, 'null') using errcode = 'PL404', detail = '{"code":"webhooks_delivery_not_found"}',
      hint = 'Deliveries that were given up are listed in plinth.event_deliveries with status failed.';
  end if;
  if _dead.status <> 'failed' then
    raise exception 'The delivery % is %', _dead.id, _dead.status using errcode = 'PL409', detail = '{"code":"webhooks_delivery_not_dead"}', hint = 'Wait until it has failed for good, then send it again.';
  end if;
  if not (plinth_webhooks.require_subscription(_dead.subscription_id)).enabled then
    raise exception 'The subscription of the delivery % is disabled', _dead.id using errcode = 'PL409', detail = '{"code":"webhooks_subscription_disabled"}', hint = 'Enable the subscription first.';
  end if;
  update plinth_webhooks.deliveries d set status = 'pending', attempts = 0, due_at = clock_timestamp(), finished_at = null
  where d.tenant_id = _dead.tenant_id and d.id = _dead.id;
  perform plinth.log_audit_event(p_action := 'webhooks.delivery_resent', p_resource_type := 'webhook_delivery', p_resource_id := _dead.id::text,
    p_metadata := jsonb_build_object('subscription_id', _dead.subscription_id, 'event_id', _dead.event_id, 'event_type', _dead.event_type));
  return _dead.id;
end
$$;
comment on function plinth.resend_delivery(uuid) is
  'Sends a delivery that was given up again, from the beginning of the schedule, with the same webhook-id and body. Errors: webhooks_delivery_not_found, webhooks_delivery_not_dead, webhooks_subscription_disabled.';
