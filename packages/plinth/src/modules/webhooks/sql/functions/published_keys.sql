create or replace function plinth_webhooks.published_keys(p_tenant_id uuid, p_subscription_id uuid default null) returns table (public_key text)
language sql stable security invoker set search_path = ''
as $$
  select p.public_key from plinth_webhooks.public_keys p
  where p.tenant_id = p_tenant_id and (p_subscription_id is null or p.subscription_id = p_subscription_id)
  order by p.id desc limit 1000
$$;
comment on function plinth_webhooks.published_keys(uuid, uuid) is 'Public keys of a tenant or of one of its subscriptions, newest first, at most 1,000; null for one that is still to be derived.';
