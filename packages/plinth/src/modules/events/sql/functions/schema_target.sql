-- References are followed within the document only, and sixteen of them at most; what leads nowhere allows everything, because nothing is known of it.
create or replace function plinth_events.schema_target(p_schema jsonb, p_root jsonb) returns jsonb
language plpgsql immutable
as $$
declare
  _schema pg_catalog.jsonb := p_schema;
  _ref pg_catalog.text;
begin
  for _hop in 1..16 loop
    _ref := _schema ->> '$ref';
    exit when _ref is null;
    _schema := (_schema - '$ref') || coalesce(case when _ref = '#' then p_root when _ref like '#/%' then
      p_root #> array(select pg_catalog.replace(pg_catalog.replace(part, '~1', '/'), '~0', '~') from pg_catalog.regexp_split_to_table(pg_catalog.substr(_ref, 3), '/') as part) end, '{}');
  end loop;
  return case pg_catalog.jsonb_typeof(_schema) when 'object' then _schema - '{$defs,definitions}'::text[] when 'boolean' then case when _schema = 'false' then '{"not": {}}'::jsonb else '{}' end else '{}' end;
end
$$;
comment on function plinth_events.schema_target(jsonb, jsonb) is 'A part of a JSON Schema as an object: references into its document are followed, true is {} and false {"not": {}}.';
