create or replace view plinth.event_store with (security_invoker = true) as
select e.id, e.tenant_id, e.id as event_id, e.created_at, e.type as event_type, e.type_version as event_version, e.aggregate_type, e.aggregate_id, e.version, e.payload,
  coalesce(e.metadata, '{}') as metadata, e.actor_type, e.actor_id, e.correlation_id, e.causation_id, e.idempotency_key, coalesce(e.occurred_at, e.created_at) as occurred_at,
  e.position, e.xact
from plinth_events.events as e;
comment on view plinth.event_store is 'Events of the tenant of the transaction; those of an aggregate have a version. event_version is the version of the event type''s schema.';
