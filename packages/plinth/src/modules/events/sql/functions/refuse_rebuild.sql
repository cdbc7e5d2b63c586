-- A rebuild reads the log from its beginning to its end, once: what it passed over or read twice would be missing in the new tables, or in them twice.
create or replace function plinth_events.refuse_rebuild(p_consumer text) returns void
language plpgsql immutable security invoker set search_path = ''
as $$
begin
  if p_consumer like '%~rebuild' then
    raise exception '% reads the log for a rebuild, which may neither pass over events nor read them twice', left(p_consumer, 200) using errcode = 'PL422', detail = '{"code":"events_operation_invalid"}',
      hint = 'Correct the handler and go on with plinth projections rebuild, begin anew with --restart, or cancel it.';
  end if;
end
$$;
comment on function plinth_events.refuse_rebuild(text) is 'Error events_operation_invalid for the consumer of a rebuild.';
