create or replace function plinth_events.refuse_payloads(p_rows jsonb) returns void
language plpgsql stable security invoker
as $$
declare
  _row pg_catalog.record;
begin
  select r.* into _row from pg_catalog.jsonb_to_recordset(p_rows) as r (type text, asked_version integer, type_version integer, mode text, personal boolean, warnings text[])
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
  raise exception 'the payload of % does not fit version %: %', _row.type, _row.type_version, _row.warnings[1] using errcode = 'PL422',
    detail = pg_catalog.jsonb_build_object('code', 'events_payload_rejected', 'type', _row.type, 'type_version', _row.type_version, 'fault', _row.warnings[1])::text,
    hint = 'Correct the payload, or register a new version of the type.';
end
$$;
comment on function plinth_events.refuse_payloads(jsonb) is 'Errors events_type_unknown and events_payload_rejected for the first row that asks for them.';
