-- Seed 003's own call. In SQL, so that a statement which calls it calls plinth.publish_event itself.
create or replace function plinth.append_event(
  p_aggregate_id text,
  p_aggregate_type text,
  p_event_type text,
  p_payload jsonb default '{}',
  p_expected_version bigint default null,
  p_metadata jsonb default null,
  p_idempotency_key text default null,
  p_correlation_id uuid default null,
  p_causation_id uuid default null,
  p_occurred_at timestamptz default null,
  p_type_version integer default null
) returns uuid
language sql volatile security invoker
as $$
  select case when p_aggregate_id is null or p_aggregate_type is null then plinth_events.refuse_no_stream()
    else plinth.publish_event(p_event_type => p_event_type, p_payload => p_payload, p_idempotency_key => p_idempotency_key, p_aggregate_type => p_aggregate_type,
      p_aggregate_id => p_aggregate_id, p_expected_version => p_expected_version, p_metadata => p_metadata, p_correlation_id => p_correlation_id, p_causation_id => p_causation_id,
      p_occurred_at => p_occurred_at, p_type_version => p_type_version) end
$$;
comment on function plinth.append_event(text, text, text, jsonb, bigint, jsonb, text, uuid, uuid, timestamptz, integer) is
  'Appends an event to the stream of an aggregate and returns its id. p_expected_version and errors as in plinth.publish_event.';
