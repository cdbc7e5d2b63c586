-- Against every version that stored events may have, not only the newest: a version that leaves a property out breaks nothing, and one after it that brings
-- the property back as something else does not break that one either.
create or replace function plinth.check_event_type(p_name text, p_schema jsonb, p_compatibility text default null)
returns table (version integer, direction text, pointer text, problem text)
language sql stable security invoker
as $$
  select f.version, f.direction, f.pointer, f.problem from (
    select distinct on (d.direction, b.pointer) t.version, d.direction, b.pointer, b.problem, b.nth
    from (select o.since, coalesce(p_compatibility, o.compatibility) as asked from plinth_events.types as o
      where o.tenant_id = plinth_kernel.tenant_id() and o.name = p_name and o.deleted_at is null order by o.version desc limit 1) as newest
    join plinth_events.types as t on t.tenant_id = plinth_kernel.tenant_id() and t.name = p_name and t.deleted_at is null and t.version >= newest.since
    cross join lateral (values ('backward', t.schema, p_schema), ('forward', p_schema, t.schema)) as d (direction, given, wanted)
    cross join lateral plinth_events.schema_breaks(d.given, d.wanted, d.given, d.wanted) with ordinality as b (pointer, problem, nth)
    where t.schema is not null and p_schema is not null and newest.asked in (d.direction, 'full')
    order by d.direction, b.pointer, t.version desc, b.nth
  ) as f
  order by f.direction, f.version desc, f.nth
  limit 100
$$;
comment on function plinth.check_event_type(text, jsonb, text) is
  'What a schema would break of the versions of an event type of the tenant since the last that was registered with compatibility none, as JSON Pointers into the schema, each with the newest version that it breaks, at most 100; nothing for a type that is new. '
  'p_compatibility: backward, forward, full or none; default that of the type.';
