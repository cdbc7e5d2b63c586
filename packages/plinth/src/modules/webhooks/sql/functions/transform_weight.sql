create or replace function plinth_webhooks.transform_weight(p_transform jsonb) returns integer
language sql immutable strict parallel safe set search_path = ''
as $$
  select 1 + coalesce(jsonb_array_length(p_transform -> 'omit'), 0) + coalesce(jsonb_array_length(p_transform -> 'redact'), 0)
    + 4 * (select count(*)::integer from jsonb_object_keys(coalesce(p_transform -> 'rename', '{}'))) + 4 * (select count(*)::integer from jsonb_object_keys(coalesce(p_transform -> 'set', '{}')))
    + (select count(*)::integer from regexp_matches(p_transform::text, '\{\{', 'g'))
    + 3 * (select count(*)::integer from regexp_matches(p.paths, '\.\*', 'g')) + 100 * (select count(*)::integer from regexp_matches(p.paths, '\.\*(?=[^"]*\.\*)', 'g'))
  from (select concat(p_transform -> 'omit', p_transform -> 'redact', p_transform -> 'rename') as paths) p
$$;
comment on function plinth_webhooks.transform_weight(jsonb) is 'How often a transform goes through the document of an event, roughly: times the size of the document, what transform_body takes it to cost.';
