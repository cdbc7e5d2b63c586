-- Every $ and @ may be a pass over an array of the payload (about 0.5 us an element), so their number bounds what a filter can cost.
create or replace function plinth_webhooks.filter_path(p_filter jsonb) returns jsonpath
language plpgsql immutable set search_path = ''
as $$
declare
  _text text;
begin
  -- An empty list is no filter in the Subscriptions API of CloudEvents, too.
  if p_filter is null or p_filter in ('null', '[]') then
    return null;
  end if;
  _text := plinth_webhooks.compile_filter(p_filter);
  if (select count(*) from regexp_matches(regexp_replace(_text, '"(\\.|[^"\\])*"', '', 'g'), '[$@]', 'g')) > 50 then
    perform plinth_webhooks.refuse_filter('it looks at more than 25 values', p_filter);
  end if;
  return _text::jsonpath;
end
$$;
comment on function plinth_webhooks.filter_path(jsonb) is 'A filter as the predicate that the fan-out evaluates; null for none. Raises webhooks_filter_invalid.';
