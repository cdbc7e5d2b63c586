create or replace function plinth_webhooks.promote_all(p_tenant_id uuid, p_subscription_id uuid) returns void
language sql volatile security invoker set search_path = ''
as $$
  with recursive key as (
    (select d.lane_key from plinth_webhooks.deliveries d
     where d.tenant_id = p_tenant_id and d.subscription_id = p_subscription_id and d.lane_key is not null and d.status <> 'failed' order by d.lane_key limit 1)
    union all
    select n.lane_key from key k cross join lateral (
      select d.lane_key from plinth_webhooks.deliveries d
      where d.tenant_id = p_tenant_id and d.subscription_id = p_subscription_id and d.lane_key > k.lane_key and d.status <> 'failed' order by d.lane_key limit 1) n
  )
  select plinth_webhooks.promote(p_tenant_id, p_subscription_id, k.lane_key) from key k
$$;
comment on function plinth_webhooks.promote_all(uuid, uuid) is 'Makes the first delivery of every key of an ordered lane due.';
