-- Rows for write_rows out of what callers of SQL give. The expected version belongs to the first row of each append; an append without events
-- becomes a row that only checks it. `mode` and `warnings` are what the registered type says about the payload.
create or replace function plinth_events.rows_of(p_appends jsonb, p_idempotency_key text, p_correlation_id uuid, p_causation_id uuid) returns jsonb
language plpgsql volatile security invoker
as $$
declare
  _batch pg_catalog.uuid;
  _events integer;
  _append pg_catalog.jsonb;
  _nth bigint;
  _rows pg_catalog.jsonb := '[]';
  -- A misspelt expected_version would be none.
  _unknown pg_catalog.text;
begin
  if p_appends is null or pg_catalog.jsonb_typeof(p_appends) <> 'array' or p_appends @? 'strict $[*] ? (@.type() != "object" || (exists (@.events) && @.events.type() != "array"))' then
    raise exception 'the appends are not a JSON array of objects' using errcode = 'PL422', detail = '{"code":"events_event_invalid","field":"p_appends"}',
      hint = 'Give [{"aggregate_type": "order", "aggregate_id": "4711", "expected_version": 3, "events": [{"event_type": "order.paid", "payload": {}}]}].';
  end if;
  _events := pg_catalog.jsonb_array_length(pg_catalog.jsonb_path_query_array(p_appends, '$[*].events[*]'));
  if _events not between 1 and 10000 then
    raise exception 'an append has 1 to 10000 events, not %', _events using errcode = 'PL422', detail = '{"code":"events_event_invalid","field":"p_appends"}',
      hint = 'Give at least one event, and append many in several calls.';
  end if;
  select min(k) into _unknown
  from pg_catalog.jsonb_array_elements(p_appends) as a (value)
  cross join lateral (
    select pg_catalog.jsonb_object_keys(a.value - '{aggregate_type, aggregate_id, expected_version, events}'::text[])
    union all
    select pg_catalog.jsonb_object_keys(e.value - '{event_type, payload, metadata, type_version, occurred_at, causation_id}'::text[])
    from pg_catalog.jsonb_array_elements(a.value -> 'events') as e (value) where pg_catalog.jsonb_typeof(e.value) = 'object'
  ) as u (k);
  if _unknown is not null then
    raise exception 'an append has no field %', left(_unknown, 100) using errcode = 'PL422', detail = pg_catalog.jsonb_build_object('code', 'events_event_invalid', 'field', left(_unknown, 100))::text,
      hint = 'An append takes aggregate_type, aggregate_id, expected_version and events; each of these event_type, payload, metadata, type_version, occurred_at and causation_id.';
  end if;
  for _append, _nth in select a.value, a.nth from pg_catalog.jsonb_array_elements(p_appends) with ordinality as a (value, nth) loop
    if nullif(_append ->> 'aggregate_type', '') is null or nullif(_append ->> 'aggregate_id', '') is null then
      raise exception 'append % names no stream', _nth using errcode = 'PL422', detail = '{"code":"events_event_invalid","field":"aggregate_id"}',
        hint = 'Give aggregate_type and aggregate_id; use plinth.publish_event for an event without a stream.';
    elsif plinth_events.expected_of(_append -> 'expected_version') is null and pg_catalog.jsonb_array_length(coalesce(_append -> 'events', '[]')) = 0 then
      raise exception 'append % has neither events nor an expected version', _nth using errcode = 'PL422', detail = '{"code":"events_event_invalid","field":"expected_version"}',
        hint = 'Give events to append, or the version to check.';
    end if;
    perform plinth_events.require_valid(e.value ->> 'event_type', coalesce(e.value -> 'payload', '{}'), _append ->> 'aggregate_type', _append ->> 'aggregate_id', null, p_idempotency_key,
      nullif(e.value -> 'metadata', 'null'), (e.value ->> 'occurred_at')::timestamptz)
    from pg_catalog.jsonb_array_elements(_append -> 'events') as e (value);
    _rows := _rows || plinth_events.append_rows(_append, p_correlation_id, p_causation_id);
  end loop;
  _batch := (pg_catalog.jsonb_path_query_first(_rows, '$[*].id') #>> '{}')::uuid;
  if p_idempotency_key is not null then
    _rows := (select pg_catalog.jsonb_agg(r.value || pg_catalog.jsonb_build_object('idempotency_key', p_idempotency_key, 'batch', _batch) order by r.nth)
      from pg_catalog.jsonb_array_elements(_rows) with ordinality as r (value, nth));
  end if;
  return _rows;
end
$$;
comment on function plinth_events.rows_of(jsonb, text, uuid, uuid) is 'Rows for write_rows from [{aggregate_type, aggregate_id, expected_version, events}]. Error events_event_invalid.';
