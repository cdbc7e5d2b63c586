create or replace function plinth_events.require_reason(p_reason text) returns void
language plpgsql immutable security invoker set search_path = ''
as $$
begin
  if coalesce(length(trim(p_reason)), 0) not between 1 and 1000 then
    raise exception 'A reason has 1 to 1,000 characters' using errcode = 'PL422', detail = '{"code":"events_operation_invalid"}', hint = 'Say why: it is kept in the audit log.';
  end if;
end
$$;
comment on function plinth_events.require_reason(text) is 'Error events_operation_invalid unless a reason is given.';
