-- Writes events, given as [{id, type, payload, ...}], and answers with the id that stands for each: that of the event which was written first
-- under its idempotency key. Keys and stream heads are taken in one order, so that two writers wait for each other instead of deadlocking;
-- a head is locked before the position of its event is taken, so that positions order a stream. A row without a type writes no event: it
-- checks the expected version of a stream and keeps its head locked, so that what was checked holds until the transaction ends.
create or replace function plinth_events.write_rows(p_rows jsonb) returns table (event_id uuid, duplicate boolean)
language plpgsql volatile security invoker
as $$
#variable_conflict use_column
declare
  _tenant_id pg_catalog.uuid := plinth_kernel.require_tenant();
  _clash pg_catalog.record;
begin
  if p_rows @? '$[*].rows' then
    p_rows := plinth_events.flat_rows(p_rows);
  end if;
  if p_rows @? '$[*].idempotency_key' then
    insert into plinth_events.dedup (tenant_id, key, fingerprint, event_id, event_ids)
    select _tenant_id, k.key, k.fingerprint, k.ids[1], case when pg_catalog.cardinality(k.ids) > 1 then k.ids end
    from plinth_events.keys_of(p_rows) as k
    order by k.key, k.nth
    on conflict do nothing;
    -- A statement of its own: it sees keys that another transaction committed while the one above waited for it. Scalar sub-queries
    -- here and below, because a join with a table that was empty when the plan was made becomes a scan of all keys.
    for _clash in
      select k.key, k.fingerprint from plinth_events.keys_of(p_rows) as k
      where k.ids[1] <> (select d.event_id from plinth_events.dedup as d where d.tenant_id = _tenant_id and d.key = k.key)
        and k.fingerprint <> (select d.fingerprint from plinth_events.dedup as d where d.tenant_id = _tenant_id and d.key = k.key)
    loop
      if plinth_events.erased_fingerprint(_clash.key) is distinct from _clash.fingerprint then
        perform plinth_events.refuse_key(_clash.key);
      end if;
    end loop;
  end if;
  return query
  with asked as materialized (
    select q.*, coalesce(q.known_id <> coalesce(q.batch, q.id), false) as repeated,
      case when q.known_id <> coalesce(q.batch, q.id) then coalesce(q.known_ids[count(q.type) over (partition by coalesce(q.batch, q.id) order by q.nth)], q.known_id) else q.id end as first_id
    from (
      select r.*, (select d.event_id from plinth_events.dedup as d where d.tenant_id = _tenant_id and d.key = r.idempotency_key) as known_id,
        (select d.event_ids from plinth_events.dedup as d where d.tenant_id = _tenant_id and d.key = r.idempotency_key) as known_ids
      from rows from (pg_catalog.jsonb_to_recordset(p_rows) as (id uuid, type text, type_version integer, payload jsonb, aggregate_type text, aggregate_id text, expected_version bigint,
        idempotency_key text, batch uuid, metadata jsonb, correlation_id uuid, causation_id uuid, occurred_at timestamptz, warnings text[])) with ordinality
        as r (id, type, type_version, payload, aggregate_type, aggregate_id, expected_version, idempotency_key, batch, metadata, correlation_id, causation_id, occurred_at, warnings, nth)
    ) as q
  ), heads as (
    insert into plinth_events.streams as s (tenant_id, aggregate_type, aggregate_id, version, id)
    select _tenant_id, a.aggregate_type, a.aggregate_id, count(a.type), coalesce((array_agg(a.id order by a.nth) filter (where a.type is not null))[1], plinth_kernel.uuid_v7())
    from asked as a
    where a.aggregate_id is not null and not a.repeated
    group by a.aggregate_type, a.aggregate_id
    order by a.aggregate_type, a.aggregate_id
    on conflict (tenant_id, aggregate_type, aggregate_id) do update
      set version = s.version + excluded.version, updated_at = case when excluded.version > 0 then pg_catalog.clock_timestamp() else s.updated_at end
    returning s.aggregate_type, s.aggregate_id, s.version
  ), placed as materialized (
    -- Materialized, so that the version is compared for the rows that only check as well.
    select a.*, case when a.aggregate_id is not null then
        plinth_events.next_version(h.version - count(a.type) over stream + count(a.type) over (stream order by a.nth rows unbounded preceding)
          + (a.type is null)::integer, a.expected_version, a.aggregate_type, a.aggregate_id) end as version
    from asked as a left join heads as h on h.aggregate_type = a.aggregate_type and h.aggregate_id = a.aggregate_id
    where not a.repeated
    window stream as (partition by a.aggregate_type, a.aggregate_id)
    order by a.nth
  ), written as (
    insert into plinth_events.events (tenant_id, shard, id, type, type_version, aggregate_type, aggregate_id, version, payload, metadata, idempotency_key,
      actor_type, actor_id, correlation_id, causation_id, occurred_at)
    select c.tenant_id, plinth_kernel.shard_of(c.tenant_id), p.id, p.type, p.type_version, p.aggregate_type, p.aggregate_id, p.version, p.payload, p.metadata, p.idempotency_key,
      c.actor_type, c.actor_id, coalesce(p.correlation_id, c.correlation_id), coalesce(p.causation_id, c.causation_id), p.occurred_at
    from plinth_kernel.current_context() as c cross join placed as p
    where p.type is not null
    order by p.nth
  ), warned as (
    insert into plinth_events.schema_warnings (tenant_id, event_id, event_type, type_version, fault)
    select _tenant_id, p.id, p.type, p.type_version, fault from placed as p cross join unnest(p.warnings) as fault
  )
  select a.first_id, a.repeated from asked as a where a.type is not null order by a.nth;
end
$$;
comment on function plinth_events.write_rows(jsonb) is
  'Writes events for the tenant of the transaction and returns, in their order, the id that stands for each. Errors: events_idempotency_conflict, events_version_conflict.';
