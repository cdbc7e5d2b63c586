create or replace function plinth_events.refuse_held(p_consumer text) returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
  raise exception 'An event that was put aside for % is being handled, or held by a transaction that is open', left(p_consumer, 200) using errcode = 'PL504', detail = '{"code":"kernel_timeout"}',
    hint = 'Try again; a transaction that stays open is found in pg_stat_activity.';
end
$$;
comment on function plinth_events.refuse_held(text) is 'Error kernel_timeout: what was put aside for a consumer is locked by others.';
