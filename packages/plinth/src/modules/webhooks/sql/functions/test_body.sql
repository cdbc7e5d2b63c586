-- The mark stands where no transform can take it away, except one that writes all of the body: that one has metadata.test to say it with.
create or replace function plinth_webhooks.test_body(p_to plinth_webhooks.subscriptions, p_id uuid, p_type text, p_data jsonb, p_transform jsonb) returns text
language sql stable security invoker set search_path = ''
as $$
  select case when (p_to).format <> 'standard' then plinth_webhooks.cloud_body((p_to).format, jsonb_build_object('specversion', '1.0', 'id', p_id, 'source', 'urn:uuid:' || (p_to).tenant_id, 'type', p_type,
      'time', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'datacontenttype', 'application/json', 'test', true), plinth_webhooks.cloud_data(d.document, p_transform))
    when p_transform ? 'body' then plinth_webhooks.transform_body(d.document, p_transform)
    else left(case when p_transform is null then plinth_webhooks.body_of(p_type, clock_timestamp(), p_data) else plinth_webhooks.transform_body(d.document, p_transform) end, -1) || ', "test" : true}' end
  from (select jsonb_build_object('id', p_id, 'type', p_type, 'time', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'source', 'urn:uuid:' || (p_to).tenant_id, 'subject', null, 'stream', null,
    'actor', jsonb_build_object('type', 'system', 'id', 'webhooks.test'), 'correlation_id', null, 'causation_id', null, 'metadata', '{"test": true}'::jsonb, 'data', p_data) as document) d
$$;
comment on function plinth_webhooks.test_body(plinth_webhooks.subscriptions, uuid, text, jsonb, jsonb) is 'The stored body of a test event for a subscription, in its format, made by a transform, and marked: "test": true, or an attribute of the CloudEvent.';
