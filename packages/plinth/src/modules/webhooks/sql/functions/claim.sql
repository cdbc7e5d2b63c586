-- Goes from subscription to subscription by one index probe each, and takes a few deliveries of each: a subscription with a long backlog
-- or a slow receiver cannot keep the others waiting. One that keeps failing is tried one delivery at a time. p_after lets the next claim
-- begin where this one ended. Planner settings are fixed because the table empties and fills faster than its statistics follow.
create or replace function plinth_webhooks.claim(p_limit integer, p_per_subscription integer default 10, p_lease interval default interval '60 seconds', p_after uuid default null)
returns table (tenant_id uuid, id uuid, lease_id uuid, subscription_id uuid, url text, secrets text[], event_id uuid, event_type text, body text, attempt integer, correlation_id uuid, signing text)
language sql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
  with recursive lane as (
    (select d.tenant_id, d.subscription_id from plinth_webhooks.deliveries d
     where d.due_at < 'infinity' and d.subscription_id > coalesce(p_after, '00000000-0000-0000-0000-000000000000') order by d.subscription_id limit 1)
    union all
    select n.tenant_id, n.subscription_id from lane l cross join lateral (
      select d.tenant_id, d.subscription_id from plinth_webhooks.deliveries d where d.due_at < 'infinity' and d.subscription_id > l.subscription_id
      order by d.subscription_id limit 1) n
  ), picked as materialized (
    select d.tenant_id, d.id, s.url, s.signing, l.subscription_id
    from lane l
    join plinth_webhooks.subscriptions s on s.tenant_id = l.tenant_id and s.id = l.subscription_id and s.enabled
    cross join lateral (select count(*) as running from plinth_webhooks.deliveries p where p.status = 'processing' and p.subscription_id = l.subscription_id and p.due_at > now()) r
    cross join lateral (
      select w.tenant_id, w.id from plinth_webhooks.deliveries w
      where w.due_at < 'infinity' and w.subscription_id = l.subscription_id and w.due_at <= now()
      order by w.due_at limit greatest(0, case when s.failure_count >= 5 then 1 else p_per_subscription end - r.running) for update skip locked) d
    limit p_limit
  )
  update plinth_webhooks.deliveries d
  set status = 'processing', lease_id = gen_random_uuid(), attempts = d.attempts + 1, due_at = clock_timestamp() + p_lease
  from picked p
  where d.tenant_id = p.tenant_id and d.id = p.id
  returning d.tenant_id, d.id, d.lease_id, d.subscription_id, p.url, plinth_webhooks.valid_secrets(d.tenant_id, d.subscription_id, p.signing), d.event_id, d.event_type, d.body, d.attempts, d.correlation_id, p.signing
$$;
comment on function plinth_webhooks.claim(integer, integer, interval, uuid) is
  'Takes at most p_limit deliveries that are due, at most p_per_subscription under way for one subscription, beginning after the subscription p_after. Each gets a lease_id, the fence that settle asks for, and is due again when p_lease has passed.';
