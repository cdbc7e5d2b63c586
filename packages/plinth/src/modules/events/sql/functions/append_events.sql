create or replace function plinth.append_events(
  p_aggregate_id text,
  p_aggregate_type text,
  p_events jsonb,
  p_expected_version bigint default null,
  p_idempotency_key text default null,
  p_correlation_id uuid default null,
  p_causation_id uuid default null
) returns table (version bigint, event_id uuid, duplicate boolean)
language sql volatile security invoker
as $$
  select a.version, a.event_id, a.duplicate
  from plinth.append_to_streams(
    pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('aggregate_type', p_aggregate_type, 'aggregate_id', p_aggregate_id, 'expected_version', p_expected_version, 'events', p_events)),
    p_idempotency_key, p_correlation_id, p_causation_id) as a
$$;
comment on function plinth.append_events(text, text, jsonb, bigint, text, uuid, uuid) is
  'Appends events, [{event_type, payload, ...}], to the stream of an aggregate, all or nothing, and returns them with their versions. p_expected_version as in plinth.publish_event; events and errors as in plinth.append_to_streams.';
