create or replace function plinth_events.schema_types(p_schema jsonb) returns text[]
language sql immutable
begin atomic
  select case
    when t.names is not null then t.names || case when 'number' = any (t.names) then array['integer'] else '{}'::text[] end
    when p_schema ? 'enum' then array(select distinct plinth_events.schema_type_of(e) from jsonb_array_elements(p_schema -> 'enum') as e)
    when p_schema ? 'const' then array[plinth_events.schema_type_of(p_schema -> 'const')]
    else '{null,boolean,object,array,number,integer,string}'::text[] end
  from (select case jsonb_typeof(p_schema -> 'type') when 'string' then array[p_schema ->> 'type']
    when 'array' then array(select jsonb_array_elements_text(p_schema -> 'type')) end as names) as t;
end;
comment on function plinth_events.schema_types(jsonb) is 'JSON types that a schema allows, as its type, enum or const says; a number may be an integer.';
