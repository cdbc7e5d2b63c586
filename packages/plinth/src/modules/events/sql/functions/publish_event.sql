create or replace function plinth.publish_event(
  p_event_type text,
  p_payload jsonb default '{}',
  p_idempotency_key text default null,
  p_aggregate_type text default null,
  p_aggregate_id text default null,
  p_expected_version bigint default null,
  p_metadata jsonb default null,
  p_correlation_id uuid default null,
  p_causation_id uuid default null,
  p_occurred_at timestamptz default null,
  p_type_version integer default null
) returns uuid
language plpgsql volatile security invoker
as $$
declare
  _type record;
  _fault text;
  _id uuid;
begin
  perform plinth_events.require_valid(p_event_type, p_payload, p_aggregate_type, p_aggregate_id, p_expected_version, p_idempotency_key);
  select t.version, t.schema, t.mode into _type from plinth_events.find_types(array[p_event_type], array[p_type_version]) as t;
  if not found and p_type_version is not null then
    raise exception 'event type % has no version %', p_event_type, p_type_version using errcode = 'PL404', detail = '{"code":"events_type_unknown"}',
      hint = 'Register it with plinth.define_event_type, or leave p_type_version out.';
  end if;
  if _type.schema is not null and _type.mode <> 'off' then
    _fault := plinth_events.schema_fault(_type.schema, p_payload);
    if _fault is not null and _type.mode = 'reject' then
      raise exception 'the payload of % does not fit version %: %', p_event_type, _type.version, _fault using errcode = 'PL422',
        detail = pg_catalog.jsonb_build_object('code', 'events_payload_rejected', 'type', p_event_type, 'type_version', _type.version, 'fault', _fault)::text,
        hint = 'Correct the payload, or register a new version of the type.';
    end if;
  end if;
  select w.event_id into _id from plinth_events.write_one(pg_catalog.jsonb_build_object(
    'id', plinth_kernel.uuid_v7(), 'type', p_event_type, 'type_version', _type.version, 'payload', p_payload, 'aggregate_type', p_aggregate_type, 'aggregate_id', p_aggregate_id,
    'expected_version', p_expected_version, 'idempotency_key', p_idempotency_key, 'metadata', p_metadata, 'correlation_id', p_correlation_id,
    'causation_id', p_causation_id, 'occurred_at', p_occurred_at, 'warnings', case when _fault is not null then array[_fault] end)) as w;
  return _id;
end
$$;
comment on function plinth.publish_event(text, jsonb, text, text, text, bigint, jsonb, uuid, uuid, timestamptz, integer) is
  'Publishes an event in the transaction of the caller and returns its id; under an idempotency key that was used before, the id of the first. p_expected_version: null any, 0 new stream, -1 existing, n exactly n. '
  'Errors: events_event_invalid, events_payload_rejected, events_type_unknown, events_idempotency_conflict, events_version_conflict, kernel_tenant_required.';
