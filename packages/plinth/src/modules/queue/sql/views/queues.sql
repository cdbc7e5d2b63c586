create or replace view plinth.queues with (security_invoker = true) as
select q.id, q.tenant_id, q.name::text as name, q.visibility_ms, q.max_receives, q.retention_s, q.max_payload_bytes, q.deduplication_window_ms, q.fifo, q.created_at, q.updated_at
from plinth_queue.queues q;
comment on view plinth.queues is 'Queues that were configured. A queue that nobody configured works with the defaults; plinth.queue_depth() shows how full they are.';
