create or replace view plinth.audit_log_retention_policy with (security_invoker = true) as
select p.id, p.tenant_id, p.tenant_id as org_id, p.keep as retention_period, p.retention_days, p.archive as archive_enabled,
  'daily at 03:00 UTC, a month at a time'::text as archive_schedule, p.source, p.reason, p.set_by as updated_by, p.updated_at
from plinth.retention_policies as p where p.kind = 'audit.entries';
comment on view plinth.audit_log_retention_policy is 'How long audit entries are kept and when they are archived. retention_days null: forever. Change it with plinth.set_retention_policy(''audit.entries'', ...).';
