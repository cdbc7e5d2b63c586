create or replace function plinth_webhooks.make_thin_delivery(p_event jsonb, p_subscription_id uuid, p_replay_id uuid, p_why text) returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant constant uuid := p_event ->> 'tenant_id';
  _to plinth_webhooks.subscriptions;
  _event plinth_events.events;
  _document jsonb;
  _key text;
  _fault text;
begin
  select s.* into _to from plinth_webhooks.subscriptions s where s.tenant_id = _tenant and s.id = p_subscription_id;
  select e.* into _event from plinth_events.events e where e.tenant_id = _tenant and e.id = (p_event ->> 'id')::uuid;
  _document := plinth_webhooks.document_of(_event);
  _key := plinth_webhooks.order_key(_to.ordering, _to.order_key, _event.aggregate_type || '/' || _event.aggregate_id, _event.payload::jsonb);
  begin
    if not plinth_webhooks.wants(_to.filter_path, _document) then
      return 0;
    end if;
  exception when others then
    _fault := 'The filter could not be judged: ' || left(sqlerrm, 500);
  end;
  raise warning 'plinth webhooks: event % of tenant % for subscription %: %', _event.id, _tenant, p_subscription_id, coalesce(_fault, p_why);
  insert into plinth_webhooks.deliveries (tenant_id, id, subscription_id, event_id, event_type, body, correlation_id, causation_id, lane_key, format, status, due_at, finished_at, last_error, replay_id)
  values (_tenant, plinth_webhooks.delivery_id(p_subscription_id, _event.id), p_subscription_id, _event.id, _event.type,
    plinth_webhooks.shape_body(nullif(_to.format, 'standard'), case when _to.format <> 'standard' then plinth_webhooks.cloud_attributes(_event) end, _document, '{"fail": "failed"}'),
    (p_event ->> 'correlation_id')::uuid, _event.id,
    _key, nullif(_to.format, 'standard'),
    case when _fault is null then 'pending' else 'failed' end, case when _fault is null and _to.ordering = 'parallel' then clock_timestamp() else 'infinity' end,
    case when _fault is not null then clock_timestamp() end, coalesce(_fault, 'The body could not be made: ' || left(p_why, 500)), p_replay_id)
  on conflict (tenant_id, id) do nothing;
  -- The next claim finds the first of an ordered lane.
  insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) select _tenant, p_subscription_id, _key where _key is not null;
  return 1;
end
$$;
comment on function plinth_webhooks.make_thin_delivery(jsonb, uuid, uuid, text) is
  'Makes the delivery of one event to one subscription after the usual way raised (p_why): a thin body with transform_error failed; given up at once, with the reason in last_error, when it is the filter that raises. Returns how many: 0 or 1.';
