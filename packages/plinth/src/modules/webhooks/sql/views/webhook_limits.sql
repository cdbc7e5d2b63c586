create or replace view plinth.webhook_limits with (security_invoker = true) as
select l.source as id, l.tenant_id, l.tenant_id as org_id, l.source, l.rate_per_second, l.max_in_flight, l.set_by, l.created_at, l.updated_at
from plinth_webhooks.tenant_limits as l
union all
select 'installation', t.id, t.id, 'installation', d.rate_per_second, d.max_in_flight, d.set_by, d.created_at, d.updated_at
from (select plinth_kernel.tenant_id() as id) as t cross join plinth_webhooks.default_limits() as d
where t.id is not null and not exists (select from plinth_webhooks.tenant_limits as o where o.tenant_id = t.id and o.source = 'installation');
comment on view plinth.webhook_limits is
  'Throttles over all webhooks of a tenant: what it set for itself (source tenant) and what an operator did, for it or for every tenant (installation). All hold, so the least counts. Outside of a tenant the nil tenant_id stands for every tenant.';
