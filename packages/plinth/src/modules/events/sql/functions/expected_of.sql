create or replace function plinth_events.expected_of(p_value jsonb) returns bigint
language plpgsql immutable
as $$
begin
  case
    when p_value is null or p_value in ('null', '"any"') then return null;
    when p_value = '"none"' then return 0;
    when p_value = '"exists"' then return -1;
    when pg_catalog.jsonb_typeof(p_value) = 'number' and p_value::numeric between -1 and 9007199254740991 and p_value::numeric % 1 = 0 then return p_value::bigint;
    else
      raise exception '% is not an expected version', left(p_value::text, 50) using errcode = 'PL422',
        detail = '{"code":"events_event_invalid","field":"expected_version"}', hint = 'Give a whole number from 0 on, none, exists or any.';
  end case;
end
$$;
comment on function plinth_events.expected_of(jsonb) is
  'Expected version of a stream as plinth.publish_event takes it, from a number, "none", "exists", "any" or nothing. Error events_event_invalid.';
