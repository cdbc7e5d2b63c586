-- Everything is checked before the first row is written. With a key, all rows of the call carry it and share `batch`, the id of the first event.
create or replace function plinth.append_to_streams(
  p_appends jsonb,
  p_idempotency_key text default null,
  p_correlation_id uuid default null,
  p_causation_id uuid default null
) returns table (aggregate_type text, aggregate_id text, version bigint, event_id uuid, duplicate boolean)
language plpgsql volatile security invoker
as $$
#variable_conflict use_column
declare
  _rows pg_catalog.jsonb := plinth_events.rows_of(p_appends, p_idempotency_key, p_correlation_id, p_causation_id);
  _ids pg_catalog.uuid[];
  _duplicate boolean;
begin
  perform plinth_events.refuse_payloads(_rows);
  if _rows @? '$[*].deprecation' then
    perform plinth_events.tell_deprecated(_rows);
  end if;
  select pg_catalog.array_agg(w.event_id order by w.nth), bool_or(w.duplicate) into _ids, _duplicate
  from rows from (plinth_events.write_rows(_rows)) with ordinality as w (event_id, duplicate, nth);
  -- A statement of its own: it sees what the one above wrote.
  return query
  select e.aggregate_type::text, e.aggregate_id::text, e.version, e.id, _duplicate
  from unnest(_ids) with ordinality as i (id, nth)
  -- The array once more, because it says at once which months to look into.
  join plinth_events.events as e on e.tenant_id = plinth_kernel.tenant_id() and e.id = i.id and e.id = any (_ids)
  order by i.nth;
end
$$;
comment on function plinth.append_to_streams(jsonb, text, uuid, uuid) is
  'Appends to several streams, all or nothing: [{aggregate_type, aggregate_id, expected_version: n, "none", "exists" or "any", events: [{event_type, payload, metadata, type_version, occurred_at, causation_id}]}]. '
  'A stream without events is only checked: it stays at that version until the transaction ends. At most 10,000 events. Returns them with their versions; under an idempotency key that was used before, the first ones. '
  'Errors: events_event_invalid, events_payload_rejected, events_type_unknown, events_idempotency_conflict, events_version_conflict, kernel_tenant_required.';
