-- One event, in as few and as simple statements as it needs: starting the one statement of write_rows takes three times as long.
-- The head is locked before the position of the event is taken, so that positions order a stream. A row without a type only checks a version.
create or replace function plinth_events.write_one(p_row jsonb) returns table (event_id uuid, duplicate boolean)
language plpgsql volatile security invoker
as $$
#variable_conflict use_column
declare
  _tenant_id pg_catalog.uuid := plinth_kernel.require_tenant();
  _row pg_catalog.record;
  _known pg_catalog.record;
  _fingerprint pg_catalog.bytea;
  _version bigint;
begin
  if p_row ? 'rows' then
    return query select w.event_id, w.duplicate from plinth_events.write_rows(p_row -> 'rows') as w;
    return;
  end if;
  select * into _row from pg_catalog.jsonb_to_record(p_row) as r (id uuid, type text, type_version integer, payload jsonb, aggregate_type text, aggregate_id text,
    expected_version bigint, idempotency_key text, metadata jsonb, correlation_id uuid, causation_id uuid, occurred_at timestamptz, warnings text[]);
  if _row.type is null then
    insert into plinth_events.streams as s (tenant_id, aggregate_type, aggregate_id, version) values (_tenant_id, _row.aggregate_type, _row.aggregate_id, 0)
    on conflict (tenant_id, aggregate_type, aggregate_id) do update set version = s.version
    returning s.version into _version;
    perform plinth_events.next_version(_version + 1, _row.expected_version, _row.aggregate_type, _row.aggregate_id);
    return;
  end if;
  if _row.idempotency_key is not null then
    _fingerprint := plinth_events.fingerprint(_row.type, _row.payload, _row.aggregate_type, _row.aggregate_id);
    insert into plinth_events.dedup (tenant_id, key, fingerprint, event_id) values (_tenant_id, _row.idempotency_key, _fingerprint, _row.id) on conflict do nothing;
    if not found then
      -- A statement of its own: it sees a key that another transaction committed while the one above waited for it.
      select d.event_id, d.fingerprint into _known from plinth_events.dedup as d where d.tenant_id = _tenant_id and d.key = _row.idempotency_key;
      if _known.fingerprint <> _fingerprint and plinth_events.erased_fingerprint(_row.idempotency_key) is distinct from _fingerprint then
        perform plinth_events.refuse_key(_row.idempotency_key);
      end if;
      return query select _known.event_id, true;
      return;
    end if;
  end if;
  if _row.aggregate_id is not null then
    insert into plinth_events.streams as s (tenant_id, aggregate_type, aggregate_id, version, id) values (_tenant_id, _row.aggregate_type, _row.aggregate_id, 1, _row.id)
    on conflict (tenant_id, aggregate_type, aggregate_id) do update set version = s.version + 1, updated_at = pg_catalog.clock_timestamp()
    returning s.version into _version;
    _version := plinth_events.next_version(_version, _row.expected_version, _row.aggregate_type, _row.aggregate_id);
  end if;
  insert into plinth_events.events (tenant_id, shard, id, type, type_version, aggregate_type, aggregate_id, version, payload, metadata, idempotency_key,
    actor_type, actor_id, correlation_id, causation_id, occurred_at)
  select c.tenant_id, plinth_kernel.shard_of(c.tenant_id), _row.id, _row.type, _row.type_version, _row.aggregate_type, _row.aggregate_id, _version, _row.payload, _row.metadata,
    _row.idempotency_key, c.actor_type, c.actor_id, coalesce(_row.correlation_id, c.correlation_id), coalesce(_row.causation_id, c.causation_id), _row.occurred_at
  from plinth_kernel.current_context() as c;
  if _row.warnings is not null then
    insert into plinth_events.schema_warnings (tenant_id, event_id, event_type, type_version, fault)
    select _tenant_id, _row.id, _row.type, _row.type_version, fault from unnest(_row.warnings) as fault;
  end if;
  return query select _row.id, false;
end
$$;
comment on function plinth_events.write_one(jsonb) is
  'Writes one event, {id, type, payload, ...}, and returns the id that stands for it: the first under its idempotency key. Errors: events_idempotency_conflict, events_version_conflict.';
