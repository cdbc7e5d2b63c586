create or replace function plinth.check_event_type(p_name text, p_schema jsonb, p_compatibility text default null)
returns table (version integer, direction text, pointer text, problem text)
language sql stable security invoker
as $$
  select b.version, b.direction, b.pointer, b.problem from plinth_events.type_breaks(plinth_kernel.tenant_id(), p_name, p_schema, p_compatibility) as b
$$;
comment on function plinth.check_event_type(text, jsonb, text) is
  'What a schema would break of the versions of an event type of the tenant, or without one of all tenants, since the last that was registered with compatibility none, as JSON Pointers into the schema, each with the newest version that it breaks, at most 100; nothing for a type that is new. '
  'p_compatibility: backward, forward, full or none; default that of the type.';
