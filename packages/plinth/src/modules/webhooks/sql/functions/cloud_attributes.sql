-- The same attributes as toCloudEvent of the module events makes; a test compares the two. Made here, because the body of a delivery is made here once.
create or replace function plinth_webhooks.cloud_attributes(p_event plinth_events.events) returns jsonb
language sql stable parallel safe set search_path = ''
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'specversion', '1.0', 'id', (p_event).id, 'source', 'urn:uuid:' || (p_event).tenant_id, 'type', (p_event).type, 'subject', s.subject,
    'time', to_char(coalesce((p_event).occurred_at, (p_event).created_at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'datacontenttype', 'application/json',
    'dataschema', 'urn:plinth:event-type:' || (p_event).type || ':' || nullif((p_event).type_version, 0),
    'correlationid', (p_event).correlation_id, 'causationid', (p_event).causation_id,
    'traceparent', case when jsonb_typeof((p_event).metadata -> 'traceparent') = 'string' then (p_event).metadata ->> 'traceparent' end,
    'partitionkey', s.subject, 'sequence', lpad(nullif((p_event).version, 0)::text, 20, '0')) || coalesce(k.kept, '{}'))
  from (select plinth_webhooks.uri_component((p_event).aggregate_type) || '/' || plinth_webhooks.uri_component((p_event).aggregate_id) as subject) s
  cross join lateral (
    select jsonb_object_agg(c.key, c.value) as kept
    from jsonb_each(case when jsonb_typeof((p_event).metadata -> 'cloudevents') = 'object' then (p_event).metadata -> 'cloudevents' end) c
    where case when c.key in ('specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'data', 'data_base64')
      then c.key in ('id', 'source', 'subject', 'dataschema') and jsonb_typeof(c.value) = 'string'
      else c.key ~ '^[a-z0-9]{1,50}$' and jsonb_typeof(c.value) in ('string', 'number', 'boolean') end) k
$$;
comment on function plinth_webhooks.cloud_attributes(plinth_events.events) is 'The attributes of an event as a CloudEvent 1.0, without its data.';
