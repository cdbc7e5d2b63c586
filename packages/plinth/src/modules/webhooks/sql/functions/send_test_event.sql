create or replace function plinth.send_test_event(p_subscription_id uuid, p_event_type text default null) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _to plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _id uuid := plinth_kernel.uuid_v7();
  _type constant text := coalesce(p_event_type, 'webhooks.test');
  _data jsonb := jsonb_build_object('subscription_id', _to.id, 'name', _to.name);
  _transform jsonb;
begin
  if not _to.enabled then
    raise exception 'The subscription % is disabled', _to.name using errcode = 'PL409', detail = '{"code":"webhooks_subscription_disabled"}', hint = 'Enable it first.';
  end if;
  if _type <> 'webhooks.test' then
    _data := plinth_webhooks.example_of(_type, _to.public_only);
    _transform := _to.transform;
  end if;
  insert into plinth_webhooks.deliveries (tenant_id, id, subscription_id, event_type, format, due_at, body)
  select _to.tenant_id, _id, _to.id, _type, nullif(_to.format, 'standard'),
    -- Before what is due first, because a lane is read by this time.
    least(clock_timestamp(), (select min(w.due_at) - interval '1 microsecond' from plinth_webhooks.deliveries w
      where w.tenant_id = _to.tenant_id and w.subscription_id = _to.id and w.due_at < 'infinity')), plinth_webhooks.test_body(_to, _id, _type, _data, _transform);
  -- Whoever sends one wants to know whether the receiver is back.
  update plinth_webhooks.lanes n set next_at = now() where n.tenant_id = _to.tenant_id and n.subscription_id = _to.id and n.breaker = 'open';
  return _id;
end
$$;
comment on function plinth.send_test_event(uuid, text) is
  'Sends a test event to one subscription, whatever its patterns and filter, with the usual retries: of type webhooks.test, or of a registered type (p_event_type) with the example of its newest version, transformed and in the format of the subscription; the body is marked with test. It goes before what waits, and is the next probe of an open breaker, at once; a pause that the receiver asked for (paused_until) it keeps. Returns the webhook-id, which plinth.event_delivery_log shows as delivery_id. Errors: webhooks_subscription_not_found, webhooks_subscription_disabled, webhooks_test_type_invalid.';
