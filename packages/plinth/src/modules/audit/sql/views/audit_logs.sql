create or replace view plinth.audit_logs with (security_invoker = true) as
select e.id, e.tenant_id, e.tenant_id as org_id, e.created_at, e.actor_type, e.actor_id, e.action, e.entity_type, e.entity_id, e.severity, e.reason,
  plinth_audit.difference(e.before, e.after) as changes, e.before, e.after, e.parent_id, coalesce(e.compliance_flags, '{}') as compliance_flags, e.ip, e.user_agent,
  coalesce(e.metadata, '{}') as metadata, e.source, e.correlation_id, e.causation_id, e.request_id, e.xact
from plinth_audit.entries as e;
comment on view plinth.audit_logs is 'The audit log of the tenant of the transaction. org_id is tenant_id; changes is the difference of before and after, computed when it is read.';
