create or replace function plinth_events.schema_type_of(p_value jsonb) returns text
language sql immutable
return case when jsonb_typeof(p_value) = 'number' and (p_value #>> '{}')::numeric % 1 = 0 then 'integer' else jsonb_typeof(p_value) end;
comment on function plinth_events.schema_type_of(jsonb) is 'JSON Schema''s name for the type of a value.';
