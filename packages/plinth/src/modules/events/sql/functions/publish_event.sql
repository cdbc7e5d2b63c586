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
  _tenant_id pg_catalog.uuid := nullif(pg_catalog.current_setting('plinth.tenant_id', true), '')::uuid;
  _id pg_catalog.uuid := plinth_kernel.uuid_v7();
  _type pg_catalog.record;
  _type_version integer;
  _personal boolean;
  _fault pg_catalog.text;
begin
  -- Most appends are plainly fine, and to see that takes a quarter of what it takes to find out what is wrong with one. Of all JSON only an object
  -- contains {}; an expected version that is none is refused where it differs from that of the stream.
  if (_tenant_id is not null and p_event_type ~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' and length(p_event_type) <= 200
    and p_payload @> '{}' and pg_catalog.pg_column_size(p_payload) <= 1048576
    and p_aggregate_type <> '' and p_aggregate_id <> '' and length(p_aggregate_type || p_aggregate_id) <= 500
    and p_idempotency_key is null and p_occurred_at is null
    and p_metadata is null) is not true
  then
    p_metadata := nullif(p_metadata, 'null');
    perform plinth_events.require_valid(p_event_type, p_payload, p_aggregate_type, p_aggregate_id, p_expected_version, p_idempotency_key, p_metadata, p_occurred_at);
    _tenant_id := plinth_kernel.require_tenant();
  end if;
  -- One look at all versions, also deleted ones: null, it is not registered; true, some version marks personal fields.
  select bool_or(t.personal) into _personal from (
    select o.personal from plinth_events.types as o where o.tenant_id = _tenant_id and o.name = p_event_type
    union all select c.personal from plinth_events.common_types as c where c.name = p_event_type) as t;
  if p_type_version is not null or _personal is not null then
    -- What find_types does for many: the tenant's own type goes before a common one.
    select t.version, t.schema, t.mode, t.deprecation into _type from plinth_events.types as t
    where t.tenant_id = _tenant_id and t.name = p_event_type and (p_type_version is null or t.version = p_type_version) and t.deleted_at is null order by t.version desc limit 1;
    if not found then
      select t.version, t.schema, t.mode, t.deprecation into _type from plinth_events.common_types as t
      where t.name = p_event_type and (p_type_version is null or t.version = p_type_version) order by t.version desc limit 1;
    end if;
    if not found and p_type_version is not null then
      raise exception 'event type % has no version %', p_event_type, p_type_version using errcode = 'PL404', detail = '{"code":"events_type_unknown"}',
        hint = 'Register it with plinth.define_event_type, or leave p_type_version out.';
    end if;
    _type_version := _type.version;
    if _type.schema is not null and _type.mode <> 'off' then
      _fault := plinth_events.schema_fault(_type.schema, p_payload);
      if _fault is not null and _type.mode = 'reject' then
        raise exception 'the payload of % does not fit version %: %', p_event_type, _type_version, _fault using errcode = 'PL422',
          detail = pg_catalog.jsonb_build_object('code', 'events_payload_rejected', 'type', p_event_type, 'type_version', _type_version, 'fault', _fault)::text,
          hint = 'Correct the payload, or register a new version of the type.';
      end if;
    end if;
    if _personal then
      perform plinth_events.refuse_personal(p_event_type);
    end if;
    if _type.deprecation is not null then
      raise notice 'event type % is deprecated: %', p_event_type, _type.deprecation;
    end if;
  end if;
  if p_idempotency_key is not null or _fault is not null then
    select w.event_id into _id from plinth_events.write_one(pg_catalog.jsonb_build_object(
      'id', _id, 'type', p_event_type, 'type_version', _type_version, 'payload', p_payload, 'aggregate_type', p_aggregate_type, 'aggregate_id', p_aggregate_id,
      'expected_version', p_expected_version, 'idempotency_key', p_idempotency_key, 'metadata', p_metadata, 'correlation_id', p_correlation_id,
      'causation_id', p_causation_id, 'occurred_at', p_occurred_at, 'warnings', case when _fault is not null then array[_fault] end)) as w;
    return _id;
  end if;
  -- What write_one does for an event without a key, without taking it to JSON and back. The actor is the default of its columns. The position
  -- is taken when the row is made, which is after the head that it is made of was locked.
  if p_aggregate_id is not null then
    with head as (
      insert into plinth_events.streams as s (tenant_id, aggregate_type, aggregate_id, version, id) values (_tenant_id, p_aggregate_type, p_aggregate_id, 1, _id)
      on conflict (tenant_id, aggregate_type, aggregate_id) do update set version = s.version + 1, updated_at = pg_catalog.clock_timestamp()
      returning s.version
    )
    insert into plinth_events.events (tenant_id, shard, id, type, type_version, aggregate_type, aggregate_id, version, payload, metadata,
      correlation_id, causation_id, occurred_at)
    select _tenant_id, plinth_kernel.shard_of(_tenant_id), _id, p_event_type, _type_version, p_aggregate_type, p_aggregate_id,
      case when h.version - 1 <> p_expected_version then plinth_events.next_version(h.version, p_expected_version, p_aggregate_type, p_aggregate_id) else h.version end,
      p_payload, p_metadata, coalesce(p_correlation_id, plinth_kernel.correlation_id()), coalesce(p_causation_id, plinth_kernel.causation_id()), p_occurred_at
    from head as h;
  else
    insert into plinth_events.events (tenant_id, shard, id, type, type_version, payload, metadata, correlation_id, causation_id, occurred_at)
    values (_tenant_id, plinth_kernel.shard_of(_tenant_id), _id, p_event_type, _type_version, p_payload, p_metadata,
      coalesce(p_correlation_id, plinth_kernel.correlation_id()), coalesce(p_causation_id, plinth_kernel.causation_id()), p_occurred_at);
  end if;
  return _id;
end
$$;
comment on function plinth.publish_event(text, jsonb, text, text, text, bigint, jsonb, uuid, uuid, timestamptz, integer) is
  'Publishes an event in the transaction of the caller and returns its id; under an idempotency key that was used before, the id of the first. p_expected_version: null any, 0 new stream, -1 existing, n exactly n. '
  'Errors: events_event_invalid, events_payload_rejected, events_type_unknown, events_idempotency_conflict, events_version_conflict, kernel_tenant_required.';
