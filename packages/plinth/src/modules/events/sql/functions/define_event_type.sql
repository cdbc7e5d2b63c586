create or replace function plinth.define_event_type(p_name text, p_schema jsonb default null, p_mode text default 'reject', p_description text default null, p_example jsonb default null)
returns integer
language plpgsql volatile security invoker
as $$
declare
  _tenant_id uuid := plinth_kernel.require_tenant();
  _newest plinth_events.types;
begin
  if p_name is null or p_name !~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' or length(p_name) > 200 or p_mode not in ('off', 'warn', 'reject')
    or pg_catalog.jsonb_typeof(p_schema) <> 'object' or pg_catalog.pg_column_size(p_schema) > 65536 then
    raise exception '% does not make an event type', coalesce(left(p_name, 100), 'null') using errcode = 'PL422', detail = '{"code":"events_type_invalid"}',
      hint = 'Give a name of words joined by dots, a JSON Schema object of at most 64 KiB or none, and mode off, warn or reject.';
  end if;
  -- One definition of a type at a time, so that two do not take the same version.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('plinth event type ' || _tenant_id || p_name, 0));
  select * into _newest from plinth_events.types where tenant_id = _tenant_id and name = p_name order by version desc limit 1;
  if _newest.name is not null and _newest.schema is not distinct from p_schema then
    update plinth_events.types set mode = p_mode, description = coalesce(p_description, description), example = coalesce(p_example, example), updated_at = pg_catalog.clock_timestamp()
    where tenant_id = _tenant_id and name = p_name and version = _newest.version;
    return _newest.version;
  end if;
  insert into plinth_events.types (tenant_id, name, version, schema, mode, description, example)
  values (_tenant_id, p_name, coalesce(_newest.version, 0) + 1, p_schema, p_mode, coalesce(p_description, _newest.description), p_example);
  return coalesce(_newest.version, 0) + 1;
end
$$;
comment on function plinth.define_event_type(text, jsonb, text, text, jsonb) is
  'Registers an event type of the tenant and returns its version: a new one when the schema differs from the newest, else the same with the new mode. Other processes use it within 2 s. Error events_type_invalid.';
