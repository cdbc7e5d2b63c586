-- The registered versions that payloads of these types are checked against: a tenant's own type goes before a common one.
create or replace function plinth_events.find_types(p_names text[], p_versions integer[])
returns table (asked_name text, asked_version integer, version integer, schema jsonb, mode text, common boolean, personal boolean)
language sql stable security invoker
begin atomic
  select a.name, a.version, t.version, t.schema, t.mode, t.common, t.personal
  from unnest(p_names, p_versions) as a (name, version)
  cross join lateral (
    select o.version, o.schema, o.mode, false as common, o.personal, 1 as rank from plinth_events.types as o
    where o.tenant_id = plinth_kernel.tenant_id() and o.name = a.name and (a.version is null or o.version = a.version)
    union all
    select c.version, c.schema, c.mode, true, c.personal, 2 from plinth_events.common_types as c where c.name = a.name and (a.version is null or c.version = a.version)
    order by 6, 1 desc limit 1
  ) as t;
end;
comment on function plinth_events.find_types(text[], integer[]) is 'Registered type for each name and version (null: the newest); names that are not registered are left out.';
