-- The registered versions that payloads of these types are checked against: a tenant's own type goes before a common one. The marks are those of every
-- version, also of common ones and of what was deleted: asking for another version, leaving a mark out or deleting the type opens no field.
create or replace function plinth_events.find_types(p_names text[], p_versions integer[])
returns table (asked_name text, asked_version integer, version integer, schema jsonb, mode text, common boolean, deprecation text, marked jsonb)
language sql stable security invoker
begin atomic
  select a.name, a.version, t.version, t.schema, t.mode, t.common, t.deprecation, m.marked
  from unnest(p_names, p_versions) as a (name, version)
  left join lateral (
    select o.version, o.schema, o.mode, false as common, o.deprecation, 1 as rank from plinth_events.types as o
    where o.tenant_id = plinth_kernel.tenant_id() and o.name = a.name and (a.version is null or o.version = a.version) and o.deleted_at is null
    union all
    select c.version, c.schema, c.mode, true, c.deprecation, 2 from plinth_events.common_types as c where c.name = a.name and (a.version is null or c.version = a.version)
    order by 6, 1 desc limit 1
  ) as t on true
  cross join lateral (
    select jsonb_agg(jsonb_build_object('version', o.version, 'schema', o.schema)
      order by (o.version = t.version and o.common = t.common) is true desc, o.common, o.version desc) as marked
    from (
      select k.version, k.schema, false as common from plinth_events.types as k where k.tenant_id = plinth_kernel.tenant_id() and k.name = a.name and k.personal
      union all
      select k.version, k.schema, true from plinth_events.common_types as k where k.name = a.name and k.personal
    ) as o
  ) as m
  where t.version is not null or m.marked is not null;
end;
comment on function plinth_events.find_types(text[], integer[]) is
  'Registered type for each name and version (null: the newest), and all versions that mark personal fields, the one that was found first; names that are not registered are left out.';
