create or replace function plinth_events.versions_of(p_tenant_id uuid, p_name text) returns table (version integer, schema jsonb, compatibility text, since integer)
language sql stable security invoker
begin atomic
  select t.version, t.schema, t.compatibility, t.since from plinth_events.types as t where t.tenant_id = p_tenant_id and t.name = p_name and t.deleted_at is null
  union all
  select c.version, c.schema, c.compatibility, c.since from plinth_events.common_types as c where p_tenant_id is null and c.name = p_name;
end;
comment on function plinth_events.versions_of(uuid, text) is 'Versions of an event type of a tenant, or (null) of one of all tenants, that were not deleted.';
