-- Two partial indexes are read in their order and no further than they have to be, however much was given up or waits: the settings and the order see to it
-- that no other is taken.
create or replace function plinth_webhooks.queue_of(p_tenant_id uuid, p_subscription_id uuid) returns table (waiting integer, waiting_internal integer, next_attempt_at timestamptz)
language sql stable security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
  with w as materialized (
    select q.event_id, q.event_type from (
      (select d.event_id, d.event_type from plinth_webhooks.deliveries d
       where d.tenant_id = p_tenant_id and d.subscription_id = p_subscription_id and d.due_at < 'infinity' and d.lane_key is null order by d.due_at limit 1001)
      union all
      (select d.event_id, d.event_type from plinth_webhooks.deliveries d
       where d.tenant_id = p_tenant_id and d.subscription_id = p_subscription_id and d.lane_key is not null and d.status <> 'failed' order by d.lane_key, d.seq limit 1001)) q limit 1001
  ), type as materialized (
    select distinct w.event_type from w where w.event_id is not null
  ), internal as materialized (
    select t.event_type from type t where not plinth_webhooks.is_public_type(p_tenant_id, t.event_type)
  )
  select (select count(*)::integer from w),
    (select count(*)::integer from w join internal i on i.event_type = w.event_type where w.event_id is not null and not s.public_only),
    case when s.enabled and s.mode = 'push' then (
      -- The probe of an ordered lane does not wait for its delivery to be due.
      select case when n.breaker <> 'closed' and s.ordering <> 'parallel' then coalesce(n.next_at, d.due_at) else greatest(d.due_at, n.next_at) end
      from plinth_webhooks.deliveries d where d.tenant_id = p_tenant_id and d.subscription_id = p_subscription_id and d.due_at < 'infinity' order by d.due_at limit 1) end
  from plinth_webhooks.subscriptions s join plinth_webhooks.lanes n on n.tenant_id = s.tenant_id and n.subscription_id = s.id
  where s.tenant_id = p_tenant_id and s.id = p_subscription_id
$$;
comment on function plinth_webhooks.queue_of(uuid, uuid) is
  'What waits for a subscription, counted to 1,001: how many deliveries, how many of them would be withheld if it became public_only, and when the next attempt is; null when nothing is due, or it is disabled or pulled.';
