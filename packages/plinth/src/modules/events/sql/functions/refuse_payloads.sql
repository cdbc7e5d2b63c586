create or replace function plinth_events.refuse_payloads(p_rows jsonb) returns void
language plpgsql stable security invoker
as $$
declare
  _row pg_catalog.record;
  _index bigint;
begin
  select r.* into _row from rows from (pg_catalog.jsonb_to_recordset(p_rows) as (type text, asked_version integer, type_version integer, mode text, personal boolean, warnings text[]))
    with ordinality as r (type, asked_version, type_version, mode, personal, warnings, nth)
  where r.personal or (r.asked_version is not null and r.type_version is null) or (r.mode = 'reject' and r.warnings is not null)
  limit 1;
  if not found then
    return;
  elsif _row.personal then
    perform plinth_events.refuse_personal(_row.type);
  elsif _row.type_version is null then
    raise exception 'event type % has no version %', _row.type, _row.asked_version using errcode = 'PL404', detail = '{"code":"events_type_unknown"}',
      hint = 'Register it with plinth.define_event_type, or leave type_version out.';
  end if;
  -- Rows that only check a version are none of the caller's events.
  select count(*) into _index from pg_catalog.jsonb_array_elements(p_rows) with ordinality as r (value, nth) where r.nth < _row.nth and r.value ? 'type';
  raise exception 'event % of the call: the payload of % does not fit version %: %', _index + 1, _row.type, _row.type_version, _row.warnings[1] using errcode = 'PL422',
    detail = pg_catalog.jsonb_build_object('code', 'events_payload_rejected', 'event_index', _index, 'type', _row.type, 'type_version', _row.type_version, 'fault', _row.warnings[1])::text,
    hint = 'Correct the payload, or register a new version of the type.';
end
$$;
comment on function plinth_events.refuse_payloads(jsonb) is 'Errors events_type_unknown and events_payload_rejected for the first row that asks for them.';
