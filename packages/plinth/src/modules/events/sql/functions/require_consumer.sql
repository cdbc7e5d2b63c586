create or replace function plinth_events.require_consumer(p_known boolean, p_consumer text) returns void
language plpgsql immutable security invoker set search_path = ''
as $$
begin
  if not coalesce(p_known, false) then
    raise exception 'There is no consumer %', left(p_consumer, 200) using errcode = 'PL404', detail = '{"code":"events_consumer_unknown"}',
      hint = 'Look for its name in plinth.consumers: <module>.<name>.';
  end if;
end
$$;
comment on function plinth_events.require_consumer(boolean, text) is 'Error events_consumer_unknown unless it is known.';
