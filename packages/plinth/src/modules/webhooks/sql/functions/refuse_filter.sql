create or replace function plinth_webhooks.refuse_filter(p_why text, p_filter jsonb) returns text
language plpgsql immutable set search_path = ''
as $$
begin
  raise exception 'The filter is not valid: %', p_why using errcode = 'PL400',
    detail = pg_catalog.jsonb_build_object('code', 'webhooks_filter_invalid', 'reason', p_why, 'at', left(p_filter::text, 200))::text,
    hint = 'Give a jsonpath predicate over the event such as $.data.total > 100, or filters of CloudEvents: exact, prefix, suffix, all, any, not.';
end
$$;
comment on function plinth_webhooks.refuse_filter(text, jsonb) is 'Raises webhooks_filter_invalid with the reason and the part of the filter that it is about.';
