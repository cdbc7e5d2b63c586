create or replace function plinth_webhooks.compile_attributes(p_dialect text, p_attributes jsonb) returns text
language plpgsql immutable set search_path = ''
as $$
declare
  _parts text[] := '{}';
  _name text;
  _value jsonb;
  _path text;
begin
  if jsonb_typeof(p_attributes) <> 'object' or p_attributes = '{}' then
    return plinth_webhooks.refuse_filter(p_dialect || ' takes an object of one or more attributes and values', p_attributes);
  end if;
  for _name, _value in select e.key, e.value from jsonb_each(p_attributes) e order by e.key loop
    if _name !~ '^[A-Za-z0-9_-]{1,100}(\.[A-Za-z0-9_-]{1,100}){0,15}$' then
      return plinth_webhooks.refuse_filter('an attribute is a name, or names with dots between them', to_jsonb(left(_name, 200)));
    elsif length(_value #>> '{}') > 500 or jsonb_typeof(_value) in ('object', 'array', 'null') or (jsonb_typeof(_value) <> 'string' and p_dialect <> 'exact') or _value = '""' then
      return plinth_webhooks.refuse_filter(format('the value of %s in %s is no text of 1 to 500 characters', _name, p_dialect), p_attributes);
    end if;
    _path := plinth_webhooks.attribute_path(_name);
    if _path is null then
      return plinth_webhooks.refuse_filter(format('an event has no %s, but %s', left(_name, 200), array_to_string(plinth_webhooks.document_keys(), ', ')), p_attributes);
    end if;
    -- jsonpath knows no "ends with". This expression is ours: every character of the value that could mean something is escaped.
    _parts := _parts || format('exists(%s ? (%s))', _path, case p_dialect
      when 'exact' then '@ == ' || _value::text
      when 'prefix' then '@ starts with ' || _value::text
      else '@ like_regex ' || to_jsonb(regexp_replace(_value #>> '{}', '([]\\^$.|?*+(){}[-])', '\\\1', 'g') || '$')::text end);
  end loop;
  return '(' || array_to_string(_parts, ' && ') || ')';
end
$$;
comment on function plinth_webhooks.compile_attributes(text, jsonb) is 'The predicate of the dialects exact, prefix and suffix: all of the attributes fit. Raises webhooks_filter_invalid.';
