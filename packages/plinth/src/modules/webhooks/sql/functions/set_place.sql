create or replace function plinth_webhooks.set_place(p_value jsonb, p_place text[], p_argument jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = ''
as $$
declare
  _there integer := 0;
  _set jsonb := p_argument;
begin
  while _there < cardinality(p_place) and p_value #> p_place[:_there + 1] is not null loop
    _there := _there + 1;
  end loop;
  if _there < cardinality(p_place) and jsonb_typeof(p_value #> p_place[:_there]) <> 'object' then
    return p_value;
  end if;
  for _missing in reverse cardinality(p_place).._there + 2 loop
    _set := jsonb_build_object(p_place[_missing], _set);
  end loop;
  return jsonb_set(p_value, p_place[:_there + 1], _set);
end
$$;
comment on function plinth_webhooks.set_place(jsonb, text[], jsonb) is 'A document with a value set at a place; objects on the way are made, what is neither an object nor an element of a list stays as it is.';
