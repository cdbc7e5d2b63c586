create or replace function plinth.extend_message(p_receipt text, p_visibility interval default null) returns timestamptz
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _r record := plinth_queue.receipt_of(p_receipt);
  _xact xid8 := pg_current_xact_id();
  _until timestamptz;
begin
  if p_visibility not between interval '1 millisecond' and interval '12 hours' then
    raise exception 'A message is hidden for 1 ms to 12 hours' using errcode = 'PL422', detail = '{"code":"queue_receive_invalid"}', hint = 'Correct p_visibility.';
  end if;
  update plinth_queue.hidden h
  set visible_at = clock_timestamp() + coalesce(p_visibility, (select s.visibility_ms * interval '1 millisecond' from plinth_queue.settings_of(_tenant, h.queue) s))
  where h.tenant_id = _tenant and h.id = _r.id and h.receives = _r.receives and h.held
  returning h.visible_at into _until;
  if not found then
    perform plinth_queue.refuse_receipt(_r.id, _r.receives);
  end if;
  return _until;
end
$$;
comment on function plinth.extend_message(text, interval) is
  'Hides a received message for p_visibility from now on (default: that of the queue), because the work takes longer. Returns until when. The receipt stays the same. Errors: kernel_tenant_required, queue_receipt_invalid, queue_receipt_lost, queue_receive_invalid.';
