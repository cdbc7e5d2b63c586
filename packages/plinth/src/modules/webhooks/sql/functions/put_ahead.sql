-- One at a time within a key also holds for what was sent off under the order of before: it stands before what waits of its key now, until its attempt is over (judge
-- gives it its place back). A place before all others is its own less 2^62. Of what is pulled nothing waits. What somebody has locked is not waited for. Rows are
-- looked up one by one, whatever the settings of who calls.
create or replace function plinth_webhooks.put_ahead(p_tenant_id uuid, p_subscription_id uuid) returns void
language sql volatile security invoker set search_path = '' set jit = off set enable_nestloop = on set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off
as $$
  with flying as materialized (
    select d.id, d.lane_key, d.seq from plinth_webhooks.flights f cross join lateral (
      select d.id, d.lane_key, d.seq from plinth_webhooks.deliveries d
      where d.tenant_id = f.tenant_id and d.id = f.delivery_id and d.lane_key is not null and d.status = 'pending' limit 1 for no key update skip locked) d
    where f.tenant_id = p_tenant_id and f.subscription_id = p_subscription_id and f.lease_until > clock_timestamp()
      and exists (select from plinth_webhooks.subscriptions s where s.tenant_id = p_tenant_id and s.id = p_subscription_id and s.mode = 'push')
  ), first as materialized (
    -- Only the first of a key can be due.
    select w.id from (select distinct f.lane_key from flying f) k cross join lateral (
      select d.id, d.due_at from plinth_webhooks.deliveries d
      where d.tenant_id = p_tenant_id and d.subscription_id = p_subscription_id and d.lane_key = k.lane_key and d.status <> 'failed' and d.id not in (select f.id from flying f)
      order by d.seq limit 1) w
    where w.due_at < 'infinity'
  ), overtaken as materialized (
    select d.id from first w cross join lateral (
      select d.id from plinth_webhooks.deliveries d where d.tenant_id = p_tenant_id and d.id = w.id limit 1 for no key update skip locked) d
  ), stopped as (
    update plinth_webhooks.deliveries d set due_at = 'infinity' from overtaken o where d.tenant_id = p_tenant_id and d.id = o.id
  ), placed as (
    update plinth_webhooks.deliveries d set seq = d.seq - 4611686018427387904, due_at = 'infinity' from flying f where d.tenant_id = p_tenant_id and d.id = f.id and d.seq > 0
    returning d.lane_key
  )
  insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key) select distinct p_tenant_id, p_subscription_id, p.lane_key from placed p
$$;
comment on function plinth_webhooks.put_ahead(uuid, uuid) is 'Puts what is under way for an ordered lane before what waits of the same key, and lets none of that be due: for a change of the order. The next claim finds the first of each key.';
