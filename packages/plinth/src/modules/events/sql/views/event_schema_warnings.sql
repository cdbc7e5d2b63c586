create or replace view plinth.event_schema_warnings with (security_invoker = true) as
select w.id, w.tenant_id, w.created_at, w.event_type, w.type_version, w.fault, w.event_id from plinth_events.schema_warnings as w;
comment on view plinth.event_schema_warnings is 'Events that were written although they do not fit the schema of their type (mode warn), kept 30 days.';
