create or replace view plinth.idempotency_keys with (security_invoker = true) as
select k.tenant_id, k.id, k.scope, k.key, k.entity_type, k.entity_id, k.request_hash, k.state, k.state = 'done' as processed, k.response_status, k.response_body,
  case when k.state = 'started' then k.created_at end as processing_at, k.correlation_id, k.created_at, k.finished_at, k.expires_at
from plinth_idempotency.keys as k;
comment on view plinth.idempotency_keys is 'Idempotency keys of the tenant of the transaction, with the answers that a repetition gets.';
