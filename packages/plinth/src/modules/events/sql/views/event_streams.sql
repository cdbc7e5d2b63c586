create or replace view plinth.event_streams with (security_invoker = true) as
select s.id, s.tenant_id, s.aggregate_type::text, s.aggregate_id::text, s.version, s.created_at, s.updated_at from plinth_events.streams as s where s.version > 0;
comment on view plinth.event_streams is 'Streams of the tenant of the transaction with the version of their last event. id is that of the first event where no check for absence came before it.';
