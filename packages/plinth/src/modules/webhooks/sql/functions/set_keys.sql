create or replace function plinth_webhooks.set_keys(p_subscription_id uuid, p_patterns text[]) returns void
language sql volatile security invoker set search_path = ''
as $$
  delete from plinth_webhooks.subscription_keys k
  where k.tenant_id = plinth_kernel.tenant_id() and k.subscription_id = p_subscription_id and k.key <> all (p_patterns);
  insert into plinth_webhooks.subscription_keys (tenant_id, key, subscription_id)
  select distinct plinth_kernel.tenant_id(), pattern, p_subscription_id from unnest(p_patterns) as pattern
  on conflict do nothing;
$$;
comment on function plinth_webhooks.set_keys(uuid, text[]) is 'Makes the keys of a subscription those of its patterns.';
