create or replace view plinth.operator_access with (security_invoker = true) as
select a.tenant_id, a.id, a.operator_id, a.reason, a.ip, a.request_id, a.correlation_id, a.causation_id, a.created_at
from plinth_access.operator_access as a;
comment on view plinth.operator_access is 'Which operator entered the tenant of the transaction, when and why.';
