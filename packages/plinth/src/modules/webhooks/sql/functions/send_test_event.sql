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
  insert into plinth_webhooks.deliveries (tenant_id, id, subscription_id, event_type, format, due_at, body)
  select _to.tenant_id, _id, _to.id, 'webhooks.test', nullif(_to.format, 'standard'),
    -- Before what is due first, because a lane is read by this time.
    least(clock_timestamp(), (select min(w.due_at) - interval '1 microsecond' from plinth_webhooks.deliveries w
      where w.tenant_id = _to.tenant_id and w.subscription_id = _to.id and w.due_at < 'infinity')), case _to.format
    when 'standard' then plinth_webhooks.body_of('webhooks.test', clock_timestamp(), d.data)
    else plinth_webhooks.cloud_body(_to.format, jsonb_build_object('specversion', '1.0', 'id', _id, 'source', 'urn:uuid:' || _to.tenant_id, 'type', 'webhooks.test',
      'time', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'datacontenttype', 'application/json'), d.data::text) end
  from (select jsonb_build_object('subscription_id', _to.id, 'name', _to.name) as data) d;
  -- Whoever sends one wants to know whether the receiver is back.
  update plinth_webhooks.lanes n set next_at = now() where n.tenant_id = _to.tenant_id and n.subscription_id = _to.id and n.breaker = 'open';
  return _id;
end
$$;
comment on function plinth.send_test_event(uuid) is
  'Sends an event of type webhooks.test to one subscription, whatever its patterns, with the usual retries. It goes before what waits, and is the next probe of an open breaker, at once; a pause that the receiver asked for (paused_until) it keeps. Returns the webhook-id, which plinth.event_delivery_log shows as delivery_id. Errors: webhooks_subscription_not_found, webhooks_subscription_disabled.';
