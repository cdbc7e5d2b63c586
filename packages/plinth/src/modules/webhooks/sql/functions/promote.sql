-- Whoever calls holds the lane, and calls after the statement that took a delivery out of it.
create or replace function plinth_webhooks.promote(p_tenant_id uuid, p_subscription_id uuid, p_lane_key text) returns void
language sql volatile security invoker set search_path = ''
as $$
  update plinth_webhooks.deliveries d set due_at = clock_timestamp()
  where d.tenant_id = p_tenant_id and d.status = 'pending' and d.due_at = 'infinity' and d.id = (
    select w.id from plinth_webhooks.deliveries w
    where w.tenant_id = p_tenant_id and w.subscription_id = p_subscription_id and w.lane_key = p_lane_key and w.status <> 'failed' order by w.seq limit 1)
$$;
comment on function plinth_webhooks.promote(uuid, uuid, text) is 'Makes the first delivery of an ordered lane with this key due, unless it is or is blocked.';
