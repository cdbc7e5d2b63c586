-- Against every version that stored events may have, not only the newest: a version that leaves a property out breaks nothing, and one after it that brings
-- the property back as something else does not break that one either.
create or replace function plinth_events.type_breaks(p_tenant_id uuid, p_name text, p_schema jsonb, p_compatibility text)
returns table (version integer, direction text, pointer text, problem text)
language sql stable security invoker
begin atomic
  select f.version, f.direction, f.pointer, f.problem from (
    select distinct on (d.direction, b.pointer) t.version, d.direction, b.pointer, b.problem, b.nth
    from (select o.since, coalesce(p_compatibility, o.compatibility) as asked from plinth_events.versions_of(p_tenant_id, p_name) as o order by o.version desc limit 1) as newest
    join plinth_events.versions_of(p_tenant_id, p_name) as t on t.version >= newest.since
    cross join lateral (values ('backward', t.schema, p_schema), ('forward', p_schema, t.schema)) as d (direction, given, wanted)
    cross join (select clock_timestamp() + interval '5 seconds' as until) as l
    cross join lateral plinth_events.schema_breaks(d.given, d.wanted, d.given, d.wanted, '', '{}', l.until) with ordinality as b (pointer, problem, nth)
    where t.schema is not null and p_schema is not null and newest.asked in (d.direction, 'full')
    order by d.direction, b.pointer, t.version desc, b.nth
  ) as f
  order by f.direction, f.version desc, f.nth
  limit 100;
end;
comment on function plinth_events.type_breaks(uuid, text, jsonb, text) is 'plinth.check_event_type, for a tenant or (null) a type of all tenants.';
