-- Branches with a constant status, so that `where status = 'pending'` leaves only those that read few rows: what lies ahead of the slowest consumer, and what
-- was put aside behind an event that fails. Shards are named one by one: a list of them would be joined, and
-- the planner, who knows nothing of what comes out of it, would rather read all events of the tenant.
create or replace view plinth.events with (security_invoker = true) as
select e.id, e.tenant_id, e.tenant_id as org_id, e.type::text as event_type, split_part(e.type, '.', 1) as event_category, e.aggregate_type::text, e.aggregate_id::text, e.version, e.payload::jsonb,
  coalesce(e.metadata, '{}') as metadata, e.actor_id as user_id, 'pending'::text as status, 0 as retry_count, null::timestamptz as next_retry_at,
  e.idempotency_key, e.correlation_id, e.causation_id, coalesce(e.occurred_at, e.created_at) as occurred_at, e.created_at
from plinth_events.events as e
where ((e.shard = 0 and e.xact >= plinth_events.pending_floor(0)) or (e.shard = 1 and e.xact >= plinth_events.pending_floor(1))
    or (e.shard = 2 and e.xact >= plinth_events.pending_floor(2)) or (e.shard = 3 and e.xact >= plinth_events.pending_floor(3))
    or (e.shard = 4 and e.xact >= plinth_events.pending_floor(4)) or (e.shard = 5 and e.xact >= plinth_events.pending_floor(5))
    or (e.shard = 6 and e.xact >= plinth_events.pending_floor(6)) or (e.shard = 7 and e.xact >= plinth_events.pending_floor(7)))
  and plinth_events.is_pending(e.shard, e.xact, e.position)
  and not exists (select from plinth_events.parked as p where p.tenant_id = e.tenant_id and p.event_id = e.id and p.ended_at is null and (p.attempts > 0 or p.status in ('parked', 'due')))
union all
select e.id, e.tenant_id, e.tenant_id, e.type::text, split_part(e.type, '.', 1), e.aggregate_type::text, e.aggregate_id::text, e.version, e.payload::jsonb,
  coalesce(e.metadata, '{}'), e.actor_id, 'pending'::text, 0, null::timestamptz,
  e.idempotency_key, e.correlation_id, e.causation_id, coalesce(e.occurred_at, e.created_at), e.created_at
from (select distinct p.tenant_id, p.event_id from plinth_events.parked as p where p.ended_at is null and p.attempts = 0 and p.status in ('failing', 'waiting')) as w
join plinth_events.events as e on e.tenant_id = w.tenant_id and e.id = w.event_id
where not plinth_events.is_pending(e.shard, e.xact, e.position)
  and not exists (select from plinth_events.parked as p where p.tenant_id = e.tenant_id and p.event_id = e.id and p.ended_at is null and (p.attempts > 0 or p.status in ('parked', 'due')))
union all
select e.id, e.tenant_id, e.tenant_id, e.type::text, split_part(e.type, '.', 1), e.aggregate_type::text, e.aggregate_id::text, e.version, e.payload::jsonb,
  coalesce(e.metadata, '{}'), e.actor_id, 'failed'::text, a.attempts, a.retry_at,
  e.idempotency_key, e.correlation_id, e.causation_id, coalesce(e.occurred_at, e.created_at), e.created_at
from (
  select p.tenant_id, p.event_id, max(p.attempts) as attempts, nullif(min(case p.status when 'parked' then 'infinity' else coalesce(p.retry_at, p.updated_at) end), 'infinity') as retry_at
  from plinth_events.parked as p where p.ended_at is null and (p.attempts > 0 or p.status in ('parked', 'due')) group by p.tenant_id, p.event_id) as a
join plinth_events.events as e on e.tenant_id = a.tenant_id and e.id = a.event_id
union all
select e.id, e.tenant_id, e.tenant_id, e.type::text, split_part(e.type, '.', 1), e.aggregate_type::text, e.aggregate_id::text, e.version, e.payload::jsonb,
  coalesce(e.metadata, '{}'), e.actor_id, 'completed'::text, 0, null::timestamptz,
  e.idempotency_key, e.correlation_id, e.causation_id, coalesce(e.occurred_at, e.created_at), e.created_at
from plinth_events.events as e
where not exists (select from plinth_events.pending_floors() as f where f.shard = e.shard and e.xact >= f.floor and plinth_events.is_pending(e.shard, e.xact, e.position))
  and not exists (select from plinth_events.parked as p where p.tenant_id = e.tenant_id and p.event_id = e.id and p.ended_at is null);
comment on view plinth.events is 'Events with seed 000''s columns. status: failed as long as a consumer that failed on the event, retry_count times, has not handled it; next_retry_at says when it is tried again, null that somebody has to ask for it. Otherwise pending until every consumer has handled it, then completed, also where it was given up (discarded).';
