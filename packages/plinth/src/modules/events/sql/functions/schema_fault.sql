-- The part of JSON Schema that SQL callers get: type, enum, const, required, properties, additionalProperties: false, items,
-- minimum, maximum, minLength, maxLength. Other words are passed over: the whole of 2020-12 is checked by the TypeScript side.
create or replace function plinth_events.schema_fault(p_schema jsonb, p_value jsonb, p_path text default '') returns text
language plpgsql immutable
as $$
declare
  _is pg_catalog.text := pg_catalog.jsonb_typeof(p_value);
  _types pg_catalog.text[] := case pg_catalog.jsonb_typeof(p_schema -> 'type') when 'string' then array[p_schema ->> 'type']
    when 'array' then array(select pg_catalog.jsonb_array_elements_text(p_schema -> 'type')) end;
  _at pg_catalog.text := case p_path when '' then 'the payload' else p_path end;
  _key pg_catalog.text;
  _part pg_catalog.jsonb;
  _fault pg_catalog.text;
begin
  if pg_catalog.jsonb_typeof(p_schema) = 'boolean' then
    return case when p_schema = 'false' then _at || ' must not be there' end;
  elsif _types is not null and not (_is = any (_types) or (_is = 'number' and 'integer' = any (_types) and (p_value #>> '{}')::numeric % 1 = 0)) then
    return pg_catalog.format('%s must be %s', _at, pg_catalog.array_to_string(_types, ' or '));
  elsif p_schema ? 'const' and p_schema -> 'const' <> p_value then
    return pg_catalog.format('%s must be %s', _at, p_schema -> 'const');
  elsif p_schema ? 'enum' and not exists (select from pg_catalog.jsonb_array_elements(p_schema -> 'enum') as allowed where allowed = p_value) then
    return pg_catalog.format('%s must be one of %s', _at, p_schema -> 'enum');
  elsif _is = 'number' and (p_value #>> '{}')::numeric < (p_schema ->> 'minimum')::numeric then
    return pg_catalog.format('%s must be at least %s', _at, p_schema -> 'minimum');
  elsif _is = 'number' and (p_value #>> '{}')::numeric > (p_schema ->> 'maximum')::numeric then
    return pg_catalog.format('%s must be at most %s', _at, p_schema -> 'maximum');
  elsif _is = 'string' and pg_catalog.length(p_value #>> '{}') < (p_schema ->> 'minLength')::integer then
    return pg_catalog.format('%s must have at least %s characters', _at, p_schema -> 'minLength');
  elsif _is = 'string' and pg_catalog.length(p_value #>> '{}') > (p_schema ->> 'maxLength')::integer then
    return pg_catalog.format('%s must have at most %s characters', _at, p_schema -> 'maxLength');
  elsif _is = 'array' and p_schema ? 'items' then
    for _key, _part in select (i - 1)::text, item from pg_catalog.jsonb_array_elements(p_value) with ordinality as e (item, i) loop
      _fault := plinth_events.schema_fault(p_schema -> 'items', _part, p_path || '/' || _key);
      exit when _fault is not null;
    end loop;
    return _fault;
  elsif _is = 'object' then
    for _key in select pg_catalog.jsonb_array_elements_text(p_schema -> 'required') loop
      if not p_value ? _key then
        return pg_catalog.format('%s must have %s', _at, _key);
      end if;
    end loop;
    for _key, _part in select * from pg_catalog.jsonb_each(p_value) loop
      if p_schema -> 'properties' ? _key then
        _fault := plinth_events.schema_fault(p_schema -> 'properties' -> _key, _part, p_path || '/' || _key);
      elsif p_schema -> 'additionalProperties' = 'false' and not p_schema ? 'patternProperties' then
        _fault := pg_catalog.format('%s must not have %s', _at, _key);
      end if;
      exit when _fault is not null;
    end loop;
    return _fault;
  end if;
  return null;
end
$$;
comment on function plinth_events.schema_fault(jsonb, jsonb, text) is
  'First way in which a value does not fit a JSON Schema, in words, or null. Knows type, enum, const, required, properties, additionalProperties, items, minimum, maximum, minLength and maxLength.';
