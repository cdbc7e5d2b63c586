-- Whoever calls holds the lane, and calls after the statement that took a delivery out of it. A delivery that a tenant's open transaction holds is not
-- waited for, because others would wait as well: the next claim looks again (held_back).
create or replace function plinth_webhooks.promote(p_tenant_id uuid, p_subscription_id uuid, p_lane_key text) returns void
language sql volatile security invoker set search_path = ''
as $$
  with first as materialized (
    select f.id from (
      select w.id, w.status, w.due_at from plinth_webhooks.deliveries w
      where w.tenant_id = p_tenant_id and w.subscription_id = p_subscription_id and w.lane_key = p_lane_key and w.status <> 'failed' order by w.seq limit 1) f
    where f.status = 'pending' and f.due_at = 'infinity'
  ), held as materialized (
    select d.id from first f cross join lateral (
      select d.id from plinth_webhooks.deliveries d where d.tenant_id = p_tenant_id and d.id = f.id limit 1 for no key update skip locked) d
  ), moved as (
    update plinth_webhooks.deliveries d set due_at = clock_timestamp()
    where d.tenant_id = p_tenant_id and d.status = 'pending' and d.due_at = 'infinity' and d.id = (select h.id from held h)
  )
  insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key)
  select p_tenant_id, p_subscription_id, p_lane_key from first f where not exists (select from held)
$$;
comment on function plinth_webhooks.promote(uuid, uuid, text) is 'Makes the first delivery of an ordered lane with this key due, unless it is or is blocked; one that somebody has locked is left to the next claim.';
