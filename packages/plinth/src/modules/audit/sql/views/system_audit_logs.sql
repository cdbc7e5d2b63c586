create or replace view plinth.system_audit_logs with (security_invoker = true) as
select e.id, e.tenant_id, e.actor_type, e.actor_id as actor_identifier, e.action, e.entity_type as resource_type, e.entity_id as resource_id, e.before as old_values,
  e.after as new_values, e.ip as ip_address, e.user_agent, coalesce(e.metadata, '{}') as metadata, e.correlation_id, e.created_at
from plinth_audit.entries as e;
comment on view plinth.system_audit_logs is 'The audit log in the words of log_audit_event: actor_identifier, resource_type, resource_id.';
