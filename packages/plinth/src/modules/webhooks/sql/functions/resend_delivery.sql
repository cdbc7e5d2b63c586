create or replace function plinth.resend_delivery(p_delivery_id uuid) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _dead plinth_webhooks.deliveries := plinth_webhooks.require_delivery(p_delivery_id);
  _to plinth_webhooks.subscriptions;
begin
  if _dead.status = 'pending' then
    raise exception 'The delivery % is still being tried', _dead.id using errcode = 'PL409', detail = '{"code":"webhooks_delivery_not_dead"}', hint = 'Wait until it has failed for good, then send it again.';
  end if;
  _to := plinth_webhooks.require_subscription(_dead.subscription_id);
  if not _to.enabled then
    raise exception 'The subscription of the delivery % is disabled', _dead.id using errcode = 'PL409', detail = '{"code":"webhooks_subscription_disabled"}', hint = 'Enable the subscription first.';
  end if;
  if _to.public_only and _dead.event_id is not null and not plinth_webhooks.is_public_type(_dead.tenant_id, _dead.event_type) then
    raise exception 'The type % is not public, and the subscription of the delivery % gets public types only', _dead.event_type, _dead.id using errcode = 'PL409',
      detail = '{"code":"webhooks_delivery_not_repeatable"}', hint = 'Make the type public, or let the subscription have internal types (p_public_only := false).';
  end if;
  if _dead.status = 'failed' and _dead.lane_key is not null then
    perform from plinth_webhooks.lanes n where n.tenant_id = _dead.tenant_id and n.subscription_id = _dead.subscription_id for no key update;
    update plinth_webhooks.deliveries d set status = 'pending', attempts = 0, step = 0, give_up_at = null, finished_at = null, seq = default
    where d.tenant_id = _dead.tenant_id and d.id = _dead.id;
    perform plinth_webhooks.promote(_dead.tenant_id, _dead.subscription_id, _dead.lane_key);
  else
    update plinth_webhooks.deliveries d set status = 'pending', attempts = 0, step = 0, give_up_at = null, due_at = clock_timestamp(), finished_at = null
    where d.tenant_id = _dead.tenant_id and d.id = _dead.id;
  end if;
  perform plinth.log_audit_event(p_action := 'webhooks.delivery_resent', p_resource_type := 'webhook_delivery', p_resource_id := _dead.id::text,
    p_metadata := jsonb_build_object('subscription_id', _dead.subscription_id, 'event_id', _dead.event_id, 'event_type', _dead.event_type));
  return _dead.id;
end
$$;
comment on function plinth.resend_delivery(uuid) is
  'Sends a delivery that was given up again, from the beginning of the schedule, with the same webhook-id and body. In an ordered lane a blocked one keeps its place, and one that was skipped goes behind what waits. Errors: webhooks_delivery_not_found, webhooks_delivery_not_dead, webhooks_delivery_not_repeatable (its type is not public, and the subscription is public_only), webhooks_subscription_disabled.';
