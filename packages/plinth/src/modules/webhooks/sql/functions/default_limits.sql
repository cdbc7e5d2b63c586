-- Definer: the limits that hold for every tenant are nobody's, and whoever acts in a tenant may see them.
create or replace function plinth_webhooks.default_limits() returns table (rate_per_second double precision, max_in_flight integer, set_by text, created_at timestamptz, updated_at timestamptz)
language sql stable security definer set search_path = ''
as $$
  select l.rate_per_second, l.max_in_flight, l.set_by, l.created_at, l.updated_at from plinth_webhooks.tenant_limits l
  where l.tenant_id = '00000000-0000-0000-0000-000000000000' and l.source = 'installation' and (plinth_kernel.is_worker() or plinth_kernel.tenant_id() is not null)
$$;
comment on function plinth_webhooks.default_limits() is 'The throttle of every tenant for which the installation has no other; no row where there is none.';
