create or replace function plinth_webhooks.reorder(p_tenant_id uuid, p_subscription_id uuid) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
  perform from plinth_webhooks.lanes n where n.tenant_id = p_tenant_id and n.subscription_id = p_subscription_id for no key update;
  update plinth_webhooks.deliveries d
  set lane_key = k.key, status = case d.status when 'failed' then 'failed' else 'pending' end,
    due_at = case when d.status = 'failed' or k.key is not null then 'infinity' else least(nullif(d.due_at, 'infinity'), clock_timestamp()) end,
    -- What was put ahead for a change before this one has its own place again.
    seq = case when d.seq < 0 then d.seq + 4611686018427387904 else d.seq end
  from (
    select w.id, plinth_webhooks.order_key(s.ordering, s.order_key, e.aggregate_type || '/' || e.aggregate_id, coalesce(e.payload::jsonb, '{}')) as key
    from plinth_webhooks.deliveries w
    join plinth_webhooks.subscriptions s on s.tenant_id = w.tenant_id and s.id = w.subscription_id
    left join plinth_events.events e on e.tenant_id = w.tenant_id and e.id = w.event_id
    -- Test events have no place in an order.
    where w.tenant_id = p_tenant_id and w.subscription_id = p_subscription_id and w.event_id is not null) k
  where d.tenant_id = p_tenant_id and d.id = k.id;
  perform plinth_webhooks.put_ahead(p_tenant_id, p_subscription_id);
  perform plinth_webhooks.promote_all(p_tenant_id, p_subscription_id);
  -- What is being fanned out or claimed now comes later, in no order or that of before.
  insert into plinth_webhooks.held_back (tenant_id, subscription_id)
  select s.tenant_id, s.id from plinth_webhooks.subscriptions s where s.tenant_id = p_tenant_id and s.id = p_subscription_id and s.ordering <> 'parallel';
end
$$;
comment on function plinth_webhooks.reorder(uuid, uuid) is 'Puts what waits for a subscription in the order that it asks for now, and what was given up, which may be sent again. Costs a write for each.';
