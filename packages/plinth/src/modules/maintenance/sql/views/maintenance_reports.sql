create or replace view plinth.maintenance_reports with (security_invoker = true) as
select r.id, coalesce(plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000') as tenant_id, r.name, r.data, r.run_id, r.created_at
from plinth_maintenance.reports as r;
comment on view plinth.maintenance_reports is 'What weekly and monthly maintenance found, for operators, and outside of tenants.';
