-- Two branches with a constant status, so that `where status = 'pending'` leaves only the one that reads the few rows ahead of the slowest consumer.
create or replace view plinth.events with (security_invoker = true) as
select e.id, e.tenant_id, e.tenant_id as org_id, e.type::text as event_type, split_part(e.type, '.', 1) as event_category, e.aggregate_type::text, e.aggregate_id::text, e.version, e.payload::jsonb,
  coalesce(e.metadata, '{}') as metadata, e.actor_id as user_id, 'pending'::text as status,
  (select max(w.failures) from plinth_kernel.feed_windows('plinth_events.events') as w where w.shard = e.shard) as retry_count,
  (select max(w.retry_at) from plinth_kernel.feed_windows('plinth_events.events') as w where w.shard = e.shard) as next_retry_at,
  e.idempotency_key, e.correlation_id, e.causation_id, coalesce(e.occurred_at, e.created_at) as occurred_at, e.created_at
from plinth_events.pending_floors() as f
join plinth_events.events as e on e.shard = f.shard and e.xact >= f.floor
where plinth_events.is_pending(e.shard, e.xact, e.position)
union all
select e.id, e.tenant_id, e.tenant_id, e.type::text, split_part(e.type, '.', 1), e.aggregate_type::text, e.aggregate_id::text, e.version, e.payload::jsonb,
  coalesce(e.metadata, '{}'), e.actor_id, 'completed'::text, 0, null::timestamptz, e.idempotency_key, e.correlation_id, e.causation_id, coalesce(e.occurred_at, e.created_at), e.created_at
from plinth_events.events as e
where not exists (select from plinth_events.pending_floors() as f where f.shard = e.shard and e.xact >= f.floor and plinth_events.is_pending(e.shard, e.xact, e.position));
comment on view plinth.events is 'Events with seed 000''s columns. status: pending until every consumer of the feed has handled the event, then completed; next_retry_at is set while a consumer waits after a failure.';
