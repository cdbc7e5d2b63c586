create or replace function plinth_webhooks.valid_secrets(p_tenant_id uuid, p_subscription_id uuid) returns text[]
language sql stable security invoker set search_path = ''
as $$
  select coalesce(array_agg(s.secret order by s.id desc), '{}') from (
    select a.id, a.secret, lead(a.created_at + a.overlap) over (order by a.id) as replaced_at
    from plinth_webhooks.secrets a
    where a.tenant_id = p_tenant_id and a.subscription_id = p_subscription_id
  ) s
  where s.replaced_at is null or s.replaced_at > now()
$$;
comment on function plinth_webhooks.valid_secrets(uuid, uuid) is 'Secrets that sign for a subscription now, newest first. Only the worker role can read them.';
