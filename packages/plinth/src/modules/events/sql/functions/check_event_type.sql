create or replace function plinth.check_event_type(p_name text, p_schema jsonb, p_compatibility text default null)
returns table (direction text, pointer text, problem text)
language sql stable security invoker
as $$
  select d.direction, b.pointer, b.problem
  from plinth_events.find_types(array[p_name], array[null::integer]) as t
  cross join lateral (select coalesce(p_compatibility, (select o.compatibility from plinth_events.types as o where o.tenant_id = plinth_kernel.tenant_id() and o.name = p_name and o.version = t.version), 'backward') as asked) as a
  cross join lateral (values ('backward', t.schema, p_schema), ('forward', p_schema, t.schema)) as d (direction, given, wanted)
  cross join lateral plinth_events.schema_breaks(d.given, d.wanted, d.given, d.wanted) as b
  where not t.common and t.schema is not null and p_schema is not null and a.asked in (d.direction, 'full')
  limit 100
$$;
comment on function plinth.check_event_type(text, jsonb, text) is
  'What a schema would break of the newest version of an event type of the tenant, as JSON Pointers into the schema, at most 100; nothing for a type that is new. p_compatibility: backward, forward, full or none; default that of the type.';
