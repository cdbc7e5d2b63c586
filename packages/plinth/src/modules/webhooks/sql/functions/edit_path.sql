-- Walks along the path only; what is not there stays not there, but set makes the objects on its way.
create or replace function plinth_webhooks.edit_path(p_value jsonb, p_path text[], p_edit text, p_argument jsonb default null) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  _head text := p_path[1];
  _rest text[] := p_path[2:];
  _inner jsonb;
begin
  if _head is null then
    return case p_edit when 'redact' then '"[redacted]"' when 'set' then p_argument end;
  elsif _head = '*' and jsonb_typeof(p_value) = 'array' then
    -- An element without the next key stays as it is and is not called for: of arrays of numbers there may be 100,000.
    return coalesce((select jsonb_agg(case when cardinality(_rest) = 0 or _rest[1] = '*' or jsonb_typeof(e.value) = 'array' or e.value ? _rest[1]
        then plinth_webhooks.edit_path(e.value, _rest, p_edit, p_argument) else e.value end order by e.place)
      from jsonb_array_elements(p_value) with ordinality as e (value, place)), '[]');
  elsif _head = '*' and jsonb_typeof(p_value) = 'object' then
    return coalesce((select jsonb_object_agg(e.key, case when cardinality(_rest) = 0 or _rest[1] = '*' or jsonb_typeof(e.value) = 'array' or e.value ? _rest[1]
        then plinth_webhooks.edit_path(e.value, _rest, p_edit, p_argument) else e.value end)
      from jsonb_each(p_value) e), '{}');
  elsif jsonb_typeof(p_value) = 'array' and _head ~ '^\d{1,6}$' and p_value -> _head::integer is not null then
    _inner := plinth_webhooks.edit_path(p_value -> _head::integer, _rest, p_edit, p_argument);
    return case when _inner is null then p_value - _head::integer else jsonb_set(p_value, array[_head], _inner) end;
  elsif jsonb_typeof(p_value) <> 'object' or (not p_value ? _head and p_edit <> 'set') then
    return p_value;
  elsif p_edit = 'rename' and cardinality(_rest) = 0 then
    return (p_value - _head) || jsonb_build_object(p_argument #>> '{}', p_value -> _head);
  end if;
  _inner := plinth_webhooks.edit_path(coalesce(p_value -> _head, '{}'), _rest, p_edit, p_argument);
  return case when _inner is null then p_value - _head else p_value || jsonb_build_object(_head, _inner) end;
end
$$;
comment on function plinth_webhooks.edit_path(jsonb, text[], text, jsonb) is 'A document with what stands at a path omitted, redacted, renamed or set; * is every element or key.';
