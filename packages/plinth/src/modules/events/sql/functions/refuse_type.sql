create or replace function plinth_events.refuse_type(p_name text, p_schema jsonb, p_mode text, p_compatibility text, p_visibility text, p_examples jsonb) returns void
language plpgsql stable
as $$
declare
  _nth bigint;
  _fault pg_catalog.text;
begin
  if p_name is null or p_name !~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' or length(p_name) > 200 or p_mode is null or p_mode not in ('off', 'warn', 'reject')
    or p_compatibility not in ('none', 'backward', 'forward', 'full') or p_visibility not in ('public', 'internal')
    or pg_catalog.jsonb_typeof(p_schema) <> 'object' or pg_catalog.pg_column_size(p_schema) > 65536
    or pg_catalog.jsonb_typeof(p_examples) <> 'array' or pg_catalog.pg_column_size(p_examples) > 65536 then
    raise exception '% does not make an event type', coalesce(left(p_name, 100), 'null') using errcode = 'PL422', detail = '{"code":"events_type_invalid"}',
      hint = 'Give a name of words joined by dots, a JSON Schema object of at most 64 KiB or none, mode off, warn or reject, compatibility backward, forward, full or none, visibility public or internal, and examples as an array.';
  end if;
  if p_name = any (plinth_events.own_types()) then
    raise exception '% is published by Plinth itself', p_name using errcode = 'PL422', detail = '{"code":"events_type_invalid"}', hint = 'Choose another name.';
  end if;
  if p_schema @? '$.**."x-personal" ? (@ == true)' and not p_schema @? '$.**."x-subject" ? (@ starts with "/")' then
    raise exception '% has personal fields and does not say whose', p_name using errcode = 'PL422', detail = '{"code":"events_type_invalid"}',
      hint = 'Give x-subject, a JSON Pointer to the id of the person in the payload, such as /customer_id.';
  end if;
  select e.nth, plinth_events.schema_fault(p_schema, e.value) into _nth, _fault from pg_catalog.jsonb_array_elements(p_examples) with ordinality as e (value, nth)
  where plinth_events.schema_fault(p_schema, e.value) is not null order by e.nth limit 1;
  if found then
    raise exception 'example % of % does not fit its schema: %', _nth, p_name, _fault using errcode = 'PL422',
      detail = pg_catalog.jsonb_build_object('code', 'events_type_invalid', 'example', _nth, 'fault', _fault)::text, hint = 'Correct the example or the schema.';
  end if;
end
$$;
comment on function plinth_events.refuse_type(text, jsonb, text, text, text, jsonb) is 'Error events_type_invalid for what does not make an event type, or an example that does not fit its schema.';
