-- All but the last * of a path are walked one element at a time, each as costly as copying 32 KiB; the last one is one pass over its elements.
create or replace function plinth_webhooks.edit_path(p_value jsonb, p_path text[], p_edit text, p_argument jsonb, inout p_left integer, out edited jsonb)
language plpgsql immutable parallel safe set search_path = ''
as $$
declare
  _star integer := array_position(p_path, '*');
  _before text[] := p_path[:_star - 1];
  _behind text[] := p_path[_star + 1:];
  _next text[] := _behind[:array_position(_behind, '*') - 1];
  _inner jsonb := p_value #> _before;
  _keys text[] := '{}';
  _values jsonb[] := '{}';
  _one record;
begin
  edited := p_value;
  if jsonb_typeof(_inner) in ('array', 'object') and _inner not in ('[]', '{}') then
    if '*' = any (_behind) then
      for _one in
        select a.place::text as key, a.value from jsonb_array_elements(case jsonb_typeof(_inner) when 'array' then _inner end) with ordinality as a (value, place)
        union all select o.key, o.value from jsonb_each(case jsonb_typeof(_inner) when 'object' then _inner end) o
      loop
        if jsonb_typeof(_one.value #> _next) in ('array', 'object') then
          select e.p_left, e.edited into p_left, _one.value from plinth_webhooks.edit_path(_one.value, _behind, p_edit, p_argument, p_left - 32768) e;
          exit when p_left < 0;
        end if;
        _keys := array_append(_keys, _one.key);
        _values := array_append(_values, _one.value);
      end loop;
      _inner := case jsonb_typeof(_inner) when 'array' then to_jsonb(_values) else (select jsonb_object_agg(n.key, n.value) from unnest(_keys, _values) n (key, value)) end;
    elsif jsonb_typeof(_inner) = 'array' then
      _inner := (select jsonb_agg(plinth_webhooks.edit_place(a.value, _behind, p_edit, p_argument) order by a.place) from jsonb_array_elements(_inner) with ordinality as a (value, place));
    else
      _inner := (select jsonb_object_agg(o.key, plinth_webhooks.edit_place(o.value, _behind, p_edit, p_argument)) from jsonb_each(_inner) o);
    end if;
    if p_left >= 0 then
      edited := case when _star = 1 then _inner else jsonb_set(p_value, _before, _inner) end;
    end if;
  end if;
end
$$;
comment on function plinth_webhooks.edit_path(jsonb, text[], text, jsonb, integer) is
  'A document with what stands at a path omitted, redacted or renamed; * is every element or key, and there is at least one. p_left comes back as what is left of the work that may be done, in bytes copied, below 0 when it was too little: then nothing was edited.';
