create or replace function plinth_events.append_rows(p_append jsonb, p_correlation_id uuid, p_causation_id uuid) returns jsonb
language sql volatile security invoker
as $$
  with events as (
    select e.nth, e.value ->> 'event_type' as type, coalesce(e.value -> 'payload', '{}') as payload, (e.value ->> 'type_version')::integer as asked_version,
      nullif(e.value -> 'metadata', 'null') as metadata, e.value ->> 'occurred_at' as occurred_at, coalesce((e.value ->> 'causation_id')::uuid, p_causation_id) as causation_id
    from pg_catalog.jsonb_array_elements(p_append -> 'events') with ordinality as e (value, nth)
  ), types as (
    select t.* from (select pg_catalog.array_agg(d.type) as names, pg_catalog.array_agg(d.asked_version) as versions from (select distinct e.type, e.asked_version from events as e) as d) as asked
    cross join lateral plinth_events.find_types(asked.names, asked.versions) as t
  ), judged as (
    select e.*, t.version, t.mode, t.deprecation, t.marked is not null as personal, case when t.schema is not null and t.mode <> 'off' then plinth_events.schema_fault(t.schema, e.payload) end as fault
    from events as e left join types as t on t.asked_name = e.type and t.asked_version is not distinct from e.asked_version
  )
  select coalesce(
    (select pg_catalog.jsonb_agg(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('id', plinth_kernel.uuid_v7(), 'type', j.type, 'asked_version', j.asked_version, 'type_version', j.version,
        'mode', j.mode, 'personal', nullif(j.personal, false), 'deprecation', j.deprecation, 'warnings', case when j.fault is not null then array[j.fault] end, 'aggregate_type', p_append -> 'aggregate_type', 'aggregate_id', p_append -> 'aggregate_id',
        'expected_version', case when j.nth = 1 then plinth_events.expected_of(p_append -> 'expected_version') end,
        'occurred_at', j.occurred_at, 'correlation_id', p_correlation_id, 'causation_id', j.causation_id))
        || pg_catalog.jsonb_build_object('payload', j.payload, 'metadata', j.metadata) order by j.nth)
      from judged as j),
    pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('aggregate_type', p_append -> 'aggregate_type', 'aggregate_id', p_append -> 'aggregate_id',
      'expected_version', plinth_events.expected_of(p_append -> 'expected_version'))))
$$;
comment on function plinth_events.append_rows(jsonb, uuid, uuid) is 'Rows of one append, each with what the registered version of its type says about its payload; one row that only checks when it has no events.';
