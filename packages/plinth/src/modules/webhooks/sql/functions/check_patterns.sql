create or replace function plinth_webhooks.check_patterns(p_patterns text[]) returns void
language plpgsql immutable set search_path = ''
as $$
declare
  _pattern text;
begin
  if coalesce(cardinality(p_patterns), 0) not between 1 and 50 or array_ndims(p_patterns) <> 1 then
    raise exception 'A subscription has 1 to 50 patterns, not %', coalesce(cardinality(p_patterns), 0) using errcode = 'PL400',
      detail = '{"code":"webhooks_pattern_invalid"}', hint = 'Give patterns such as {order.created}, {order.*} or {#}.';
  end if;
  foreach _pattern in array p_patterns loop
    if _pattern is null or length(_pattern) > 200 or _pattern !~ '^(([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.#)?|#)$' or cardinality(string_to_array(_pattern, '.')) > 8 then
      raise exception 'The pattern % is not valid', coalesce(quote_literal(left(_pattern, 200)), 'null') using errcode = 'PL400',
        detail = pg_catalog.json_build_object('code', 'webhooks_pattern_invalid', 'pattern', left(_pattern, 200))::text,
        hint = 'Write at most 8 segments with dots between them: a word, * for exactly one segment, or # as the last segment for any number of them.';
    end if;
  end loop;
end
$$;
comment on function plinth_webhooks.check_patterns(text[]) is 'Raises webhooks_pattern_invalid for patterns that could never match or are written wrongly.';
