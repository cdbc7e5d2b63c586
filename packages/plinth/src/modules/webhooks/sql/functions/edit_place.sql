-- An expression without settings of its own, so that the statement that asks for it holds it: for every element of a list it is called for.
create or replace function plinth_webhooks.edit_place(p_value jsonb, p_place text[], p_edit text, p_argument jsonb default null) returns jsonb
language sql immutable parallel safe
return case
  when p_value #> p_place is null then p_value
  when p_edit = 'omit' then p_value #- p_place
  when p_edit = 'redact' then pg_catalog.jsonb_set(p_value, p_place, '"[redacted]"')
  when pg_catalog.jsonb_typeof(p_value #> p_place[:pg_catalog.cardinality(p_place) - 1]) <> 'object' then p_value
  else pg_catalog.jsonb_set(p_value #- p_place, p_place[:pg_catalog.cardinality(p_place) - 1] || (p_argument #>> '{}'), p_value #> p_place)
end;
comment on function plinth_webhooks.edit_place(jsonb, text[], text, jsonb) is 'A document with what stands at one place omitted, redacted, or renamed (p_argument is the new name of the key). What is not there stays not there.';
