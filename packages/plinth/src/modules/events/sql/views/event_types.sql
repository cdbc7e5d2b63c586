create or replace view plinth.event_types with (security_invoker = true) as
select t.id, t.tenant_id, t.name, t.version, t.schema, t.mode, t.description, t.example, t.created_at, t.updated_at from plinth_events.types as t
union all
select c.id, null, c.name, c.version, c.schema, c.mode, c.description, c.example, c.created_at, c.updated_at from plinth_events.common_types as c;
comment on view plinth.event_types is 'Registered event types, all versions: the tenant''s own, and common ones (tenant_id null).';
