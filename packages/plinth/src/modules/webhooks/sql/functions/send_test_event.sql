create or replace function plinth.send_test_event(p_subscription_id uuid) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _to plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _id uuid;
begin
  if not _to.enabled then
    raise exception 'The subscription % is disabled', _to.name using errcode = 'PL409', detail = '{"code":"webhooks_subscription_disabled"}', hint = 'Enable it first.';
  end if;
  insert into plinth_webhooks.deliveries (tenant_id, subscription_id, event_type, body)
  values (_to.tenant_id, _to.id, 'webhooks.test', plinth_webhooks.body_of('webhooks.test', clock_timestamp(), jsonb_build_object('subscription_id', _to.id, 'name', _to.name)))
  returning id into _id;
  return _id;
end
$$;
comment on function plinth.send_test_event(uuid) is
  'Sends an event of type webhooks.test to one subscription, whatever its patterns, with the usual retries; returns the webhook-id, which plinth.event_delivery_log shows as delivery_id. Errors: webhooks_subscription_not_found, webhooks_subscription_disabled.';
