-- A fan-out that began before the order of its subscription was changed makes deliveries of no lane, and commits them after the change has put the others in
-- order. The change left a note (reorder); these are put in order until every transaction of then is over. Whoever calls holds the lane. What a
-- tenant's transaction holds is not waited for.
create or replace function plinth_webhooks.order_late(p_tenant_id uuid, p_subscription_id uuid) returns void
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
begin
  -- Before the look, whose snapshot then has all that they made.
  delete from plinth_webhooks.held_back h
  where h.tenant_id = p_tenant_id and h.subscription_id = p_subscription_id and h.lane_key is null and h.until <= pg_snapshot_xmin(pg_current_snapshot());
  update plinth_webhooks.held_back h set until = pg_snapshot_xmax(pg_current_snapshot())
  where h.tenant_id = p_tenant_id and h.subscription_id = p_subscription_id and h.lane_key is null and h.until is null;
  if found then
    -- The change did not see what was claimed while it was not committed. No claim runs beside this one.
    perform plinth_webhooks.put_ahead(p_tenant_id, p_subscription_id);
  end if;
  with late as materialized (
    select d.id, d.event_id from plinth_webhooks.deliveries d
    where d.tenant_id = p_tenant_id and d.subscription_id = p_subscription_id and d.due_at < 'infinity' and d.lane_key is null and d.event_id is not null
    for no key update skip locked
  ), placed as (
    update plinth_webhooks.deliveries d set lane_key = k.key, due_at = 'infinity' from (
      select l.id, plinth_webhooks.order_key(s.ordering, s.order_key, e.aggregate_type || '/' || e.aggregate_id, coalesce(e.payload::jsonb, '{}')) as key
      from late l join plinth_webhooks.subscriptions s on s.tenant_id = p_tenant_id and s.id = p_subscription_id
      left join plinth_events.events e on e.tenant_id = p_tenant_id and e.id = l.event_id) k
    where d.tenant_id = p_tenant_id and d.id = k.id and k.key is not null
    returning d.lane_key
  )
  insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) select distinct p_tenant_id, p_subscription_id, p.lane_key from placed p;
end
$$;
comment on function plinth_webhooks.order_late(uuid, uuid) is 'Puts deliveries in order that were made by transactions which did not see that their subscription has one now.';
