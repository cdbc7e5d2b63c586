create or replace view plinth.parked_events with (security_invoker = true) as
select p.id, p.tenant_id, p.consumer, p.status, p.event_type, p.event_id, p.stream, p.shard, p.position, p.attempts, p.error, p.reason, p.correlation_id, p.created_at, p.updated_at, p.ended_at,
  p.retry_at
from plinth_events.parked as p;
comment on view plinth.parked_events is 'Events that a consumer could not handle and that were put aside. status: failing (is tried again at retry_at; without one only when somebody asks), waiting (comes after one of its tenant that fails), parked (its tenant goes on without it), due (is tried once more), handled, discarded, superseded (the consumer was rewound), gone (left with the retention policy). plinth.retry_parked_events, plinth.discard_parked_event.';
