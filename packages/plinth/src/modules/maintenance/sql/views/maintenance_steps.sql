create or replace view plinth.maintenance_steps with (security_invoker = true) as
select s.id, s.tenant_id, s.run_id, s.kind, s.action, s.target, s.status, s.row_count, s.size_bytes, s.note, s.created_at, s.ended_at, s.correlation_id
from plinth_maintenance.steps as s;
comment on view plinth.maintenance_steps is 'What runs of maintenance did to the rows of the tenant of the transaction; operators see every step.';
