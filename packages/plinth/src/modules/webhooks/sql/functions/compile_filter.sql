-- The dialects of the CloudEvents Subscriptions API, and jsonpath as one more. An attribute may be a path: data.order.country. Every
-- condition is an exists(), which is true or false and never unknown, so that "not" means not.
create or replace function plinth_webhooks.compile_filter(p_filter jsonb, p_depth integer default 0) returns text
language plpgsql immutable set search_path = ''
as $$
declare
  _dialect text;
  _given jsonb;
  _parts text[];
begin
  if p_depth > 8 or pg_column_size(p_filter) > 8192 then
    return plinth_webhooks.refuse_filter('it has more than 8 levels or 8 KiB', p_filter);
  elsif jsonb_typeof(p_filter) = 'string' then
    return plinth_webhooks.safe_path(p_filter #>> '{}');
  elsif jsonb_typeof(p_filter) = 'array' then
    return plinth_webhooks.compile_filter(jsonb_build_object('all', p_filter), p_depth);
  elsif jsonb_typeof(p_filter) <> 'object' or (select count(*) <> 1 from jsonb_object_keys(p_filter)) then
    return plinth_webhooks.refuse_filter('a filter is a jsonpath, a list of filters, or an object with one dialect', p_filter);
  end if;
  select e.key, e.value into _dialect, _given from jsonb_each(p_filter) e;
  if _dialect = 'jsonpath' and jsonb_typeof(_given) = 'string' then
    return plinth_webhooks.safe_path(_given #>> '{}');
  elsif _dialect in ('exact', 'prefix', 'suffix') then
    return plinth_webhooks.compile_attributes(_dialect, _given);
  elsif _dialect = 'not' then
    return '!(' || plinth_webhooks.compile_filter(_given, p_depth + 1) || ')';
  elsif _dialect not in ('all', 'any') then
    return plinth_webhooks.refuse_filter(format('there is no dialect %s', left(_dialect, 50)), p_filter);
  elsif jsonb_typeof(_given) <> 'array' or jsonb_array_length(_given) not between 1 and 50 then
    return plinth_webhooks.refuse_filter(_dialect || ' takes a list of 1 to 50 filters', p_filter);
  end if;
  select array_agg(plinth_webhooks.compile_filter(f.value, p_depth + 1) order by f.place) into _parts from jsonb_array_elements(_given) with ordinality as f (value, place);
  return '(' || array_to_string(_parts, case _dialect when 'all' then ' && ' else ' || ' end) || ')';
end
$$;
comment on function plinth_webhooks.compile_filter(jsonb, integer) is 'The text of the jsonpath predicate that a filter means. Raises webhooks_filter_invalid.';
