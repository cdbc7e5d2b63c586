create or replace view plinth.parked_events with (security_invoker = true) as
select p.id, p.tenant_id, p.consumer, p.status, p.event_type, p.event_id, p.stream, p.shard, p.position, p.attempts, p.error, p.reason, p.correlation_id, p.created_at, p.updated_at, p.ended_at
from plinth_events.parked as p;
comment on view plinth.parked_events is 'Events that a consumer could not handle and that were put aside. status: parked, due (is tried again), handled, discarded, superseded (the consumer was rewound), gone (left with the retention policy). plinth.retry_parked_events, plinth.discard_parked_event.';
