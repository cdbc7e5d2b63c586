-- Names what is wrong with the arguments of an event before any of it is written.
create or replace function plinth_events.require_valid(p_event_type text, p_payload jsonb, p_aggregate_type text, p_aggregate_id text, p_expected_version bigint, p_idempotency_key text, p_metadata jsonb, p_occurred_at timestamptz)
returns void
language plpgsql stable
as $$
declare
  _field pg_catalog.text;
  _problem pg_catalog.text;
begin
  if p_event_type is null or p_event_type !~ '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$' or length(p_event_type) > 200 then
    _field := 'p_event_type';
    _problem := pg_catalog.format('%L is not an event type', left(p_event_type, 100));
  elsif p_payload is null or pg_catalog.jsonb_typeof(p_payload) <> 'object' then
    _field := 'p_payload';
    _problem := 'the payload is not a JSON object';
  elsif pg_catalog.pg_column_size(p_payload) > 1048576 then
    _field := 'p_payload';
    _problem := 'the payload is larger than 1 MiB';
  elsif (p_aggregate_id is null) <> (p_aggregate_type is null) then
    _field := case when p_aggregate_id is null then 'p_aggregate_id' else 'p_aggregate_type' end;
    _problem := 'an aggregate has a type and an id';
  elsif length(p_aggregate_type) not between 1 and 500 or length(p_aggregate_id) not between 1 and 500 then
    _field := 'p_aggregate_id';
    _problem := 'the type and id of an aggregate have 1 to 500 characters';
  elsif p_expected_version is not null and (p_aggregate_id is null or p_expected_version < -1) then
    _field := 'p_expected_version';
    _problem := 'an expected version is -1, 0 or more and needs an aggregate';
  elsif length(p_idempotency_key) not between 1 and 500 then
    _field := 'p_idempotency_key';
    _problem := 'an idempotency key has 1 to 500 characters';
  elsif pg_catalog.jsonb_typeof(p_metadata) <> 'object' or pg_catalog.pg_column_size(p_metadata) > 1048576 then
    _field := 'p_metadata';
    _problem := 'the metadata are not a JSON object of at most 1 MiB';
  elsif p_occurred_at not between '0001-01-01 00:00:00Z' and '9999-12-31 23:59:59.999999Z' then
    _field := 'p_occurred_at';
    _problem := 'an event occurs in the years 1 to 9999';
  else
    return;
  end if;
  raise exception '%', _problem using errcode = 'PL422', detail = pg_catalog.jsonb_build_object('code', 'events_event_invalid', 'field', _field)::text,
    hint = 'Give a type of words joined by dots (order.created), a JSON object, and an aggregate by type and id or not at all.';
end
$$;
comment on function plinth_events.require_valid(text, jsonb, text, text, bigint, text, jsonb, timestamptz) is 'Error events_event_invalid, naming the field, when the arguments do not make an event.';
