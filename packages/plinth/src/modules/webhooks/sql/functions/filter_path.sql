create or replace function plinth_webhooks.filter_path(p_filter jsonb) returns jsonpath
language sql immutable set search_path = ''
return case when p_filter is null or p_filter = 'null' then null else plinth_webhooks.compile_filter(p_filter)::jsonpath end;
comment on function plinth_webhooks.filter_path(jsonb) is 'A filter as the predicate that the fan-out evaluates; null for none. Raises webhooks_filter_invalid.';
