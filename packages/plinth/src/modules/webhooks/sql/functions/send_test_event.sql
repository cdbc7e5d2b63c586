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
  _id := plinth_kernel.uuid_v7();
  insert into plinth_webhooks.deliveries (tenant_id, id, subscription_id, event_type, format, body)
  select _to.tenant_id, _id, _to.id, 'webhooks.test', nullif(_to.format, 'standard'), case _to.format
    when 'standard' then plinth_webhooks.body_of('webhooks.test', clock_timestamp(), d.data)
    else plinth_webhooks.cloud_body(_to.format, jsonb_build_object('specversion', '1.0', 'id', _id, 'source', 'urn:uuid:' || _to.tenant_id, 'type', 'webhooks.test',
      'time', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'datacontenttype', 'application/json'), d.data::text) end
  from (select jsonb_build_object('subscription_id', _to.id, 'name', _to.name) as data) d;
  return _id;
end
$$;
comment on function plinth.send_test_event(uuid) is
  'Sends an event of type webhooks.test to one subscription, whatever its patterns, with the usual retries; returns the webhook-id, which plinth.event_delivery_log shows as delivery_id. Errors: webhooks_subscription_not_found, webhooks_subscription_disabled.';
