create or replace function plinth_webhooks.inbound_source(p_id uuid) returns table (tenant_id uuid, name text, profile text, options jsonb, tolerance_seconds integer, enabled boolean, secrets text[])
language sql stable security invoker set search_path = ''
as $$
  select s.tenant_id, s.name, s.profile, s.options, extract(epoch from s.tolerance)::integer, s.enabled and t.status = 'active', array(
    select v.secret from (
      select a.id, a.secret, min(a.created_at + a.overlap) over (order by a.id rows between 1 following and unbounded following) as replaced_at from (
        select a.* from plinth_webhooks.inbound_secrets a where a.tenant_id = s.tenant_id and a.source_id = s.id order by a.id desc limit 5) a
    ) v where v.replaced_at is null or v.replaced_at > now() order by v.id desc)
  from plinth_webhooks.inbound_sources s join plinth_kernel.tenants t on t.id = s.tenant_id
  where s.id = p_id
$$;
comment on function plinth_webhooks.inbound_source(uuid) is 'An inbound source of any tenant with the secrets that count now, at most the newest five. Only the worker role can read them.';
