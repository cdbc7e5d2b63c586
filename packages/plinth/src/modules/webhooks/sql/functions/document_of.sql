create or replace function plinth_webhooks.document_of(p_event plinth_events.events) returns jsonb
language sql stable parallel safe
return pg_catalog.jsonb_build_object(
  'id', (p_event).id, 'type', (p_event).type, 'time', pg_catalog.to_char(coalesce((p_event).occurred_at, (p_event).created_at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  'source', coalesce((p_event).metadata #>> '{cloudevents,source}', 'urn:uuid:' || (p_event).tenant_id),
  'subject', coalesce((p_event).metadata #>> '{cloudevents,subject}', (p_event).aggregate_type || '/' || (p_event).aggregate_id),
  'stream', case when (p_event).aggregate_id is not null then pg_catalog.jsonb_build_object('type', (p_event).aggregate_type, 'id', (p_event).aggregate_id, 'version', (p_event).version) end,
  'actor', pg_catalog.jsonb_build_object('type', (p_event).actor_type, 'id', (p_event).actor_id),
  'correlation_id', (p_event).correlation_id, 'causation_id', (p_event).causation_id, 'metadata', coalesce((p_event).metadata, '{}'), 'data', (p_event).payload::jsonb);
comment on function plinth_webhooks.document_of(plinth_events.events) is 'What filters and transforms see of an event: id, type, time, source and subject (those of the CloudEvent that it came in as, else urn:uuid: and the tenant, and its stream), stream {type, id, version}, actor {type, id}, correlation_id, causation_id, metadata, data.';
