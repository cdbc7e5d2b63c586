create or replace view plinth.event_types with (security_invoker = true) as
select t.id, t.tenant_id, t.name, t.version, t.schema, t.mode, t.description, t.examples -> 0 as example, t.created_at, t.updated_at,
  t.compatibility, t.visibility, t.examples, t.deprecated_at, t.deprecation, t.successor::text, t.personal from plinth_events.types as t where t.deleted_at is null
union all
select c.id, null, c.name, c.version, c.schema, c.mode, c.description, c.examples -> 0, c.created_at, c.updated_at,
  c.compatibility, c.visibility, c.examples, c.deprecated_at, c.deprecation, c.successor::text, c.personal from plinth_events.common_types as c;
comment on view plinth.event_types is 'Registered event types, all versions: the tenant''s own, and common ones (tenant_id null). A version with deprecated_at should no longer be written; the fields that one with personal marks are encrypted in payloads of every version.';
