create or replace function plinth.preview_subscription(p_patterns text[] default '{#}', p_filter jsonb default null, p_transform jsonb default null, p_limit integer default 100, p_event_id uuid default null, p_format text default 'standard')
returns table (event_id uuid, event_type text, occurred_at timestamptz, matches boolean, body text)
language plpgsql stable security invoker set search_path = ''
as $$
declare
  _filter jsonpath := plinth_webhooks.filter_path(p_filter);
  _transform jsonb := nullif(p_transform, 'null');
begin
  perform plinth_webhooks.check_patterns(p_patterns), plinth_webhooks.check_format(p_format, 'push');
  perform plinth_webhooks.check_transform(_transform) where _transform is not null;
  return query
  select e.id, e.type::text, coalesce(e.occurred_at, e.created_at), v.matches,
    case when not v.matches then null
      when p_format like 'cloudevents-%' then plinth_webhooks.cloud_body('cloudevents-structured', plinth_webhooks.cloud_attributes(e), plinth_webhooks.cloud_data(d.document, _transform))
      when _transform is null then plinth_webhooks.body_of(e.type, coalesce(e.occurred_at, e.created_at), e.payload::jsonb) else plinth_webhooks.transform_body(d.document, _transform) end
  from (
    select p.* from plinth_events.events p
    where p.tenant_id = plinth_kernel.tenant_id() and (p_event_id is null or p.id = p_event_id)
    order by p.id desc limit least(greatest(coalesce(p_limit, 100), 1), 1000)
  ) e
  cross join lateral (select plinth_webhooks.document_of(e) as document) d
  cross join lateral (select plinth_webhooks.match_keys(e.type) && p_patterns and plinth_webhooks.wants(_filter, d.document) as matches) v
  order by e.id desc;
end
$$;
comment on function plinth.preview_subscription(text[], jsonb, jsonb, integer, uuid, text) is
  'Which of the last p_limit events (at most 1,000, newest first), or of one event, a subscription like this would get, and the body of each (personal fields encrypted; a CloudEvent in one piece). Changes nothing. Errors: webhooks_pattern_invalid, webhooks_filter_invalid, webhooks_transform_invalid, webhooks_format_invalid.';
