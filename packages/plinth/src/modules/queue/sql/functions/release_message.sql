create or replace function plinth.release_message(p_receipt text, p_delay interval default '0', p_error text default null, p_dead boolean default false, p_counted boolean default true) returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _r record := plinth_queue.receipt_of(p_receipt);
  _xact xid8 := pg_current_xact_id();
  _h plinth_queue.hidden;
begin
  if p_delay is null or p_delay not between interval '0' and interval '14 days' or length(p_error) > 10000 then
    raise exception 'A message is released for 0 to 14 days, with an error of at most 10,000 characters' using errcode = 'PL422', detail = '{"code":"queue_receive_invalid"}', hint = 'Correct p_delay or p_error.';
  end if;
  select h.* into _h from plinth_queue.hidden h where h.tenant_id = _tenant and h.id = _r.id and h.receives = _r.receives and h.held for update;
  if not found then
    perform plinth_queue.refuse_receipt(_r.id, _r.receives);
  end if;
  if p_delay > interval '0' and not p_dead and clock_timestamp() + p_delay >= plinth_kernel.v7_time(_h.id) + interval '30 days' then
    raise exception 'The message is kept until %, 30 days after it was sent, and cannot be released for longer', plinth_kernel.v7_time(_h.id) + interval '30 days' using errcode = 'PL422',
      detail = '{"code":"queue_receive_invalid"}', hint = 'Release it for less, or send its payload anew.';
  end if;
  if p_dead or (p_counted and _h.receives - _h.forgiven >= (select s.max_receives from plinth_queue.settings_of(_tenant, _h.queue) s)) then
    delete from plinth_queue.hidden h where h.tenant_id = _tenant and h.id = _r.id;
    insert into plinth_queue.dead (tenant_id, id, queue, group_no, receives, error) values (_tenant, _h.id, _h.queue, _h.group_no, _h.receives, coalesce(p_error, _h.error));
    return 'failed';
  end if;
  update plinth_queue.hidden h
  set held = false, visible_at = clock_timestamp() + p_delay, error = coalesce(p_error, h.error), forgiven = h.forgiven + case when p_counted then 0 else 1 end,
    since = case when p_delay > interval '0' then plinth_kernel.v7_floor(clock_timestamp() + p_delay) else h.since end
  where h.tenant_id = _tenant and h.id = _r.id;
  return case when p_delay > interval '0' then 'scheduled' else 'pending' end;
end
$$;
comment on function plinth.release_message(text, interval, text, boolean, boolean) is
  'Gives a received message back: it may be received again after p_delay (0 to 14 days), and its retention counts from then. p_error: why, for people. p_dead: it becomes a dead letter at once; so it does when it was received as often as its queue allows. p_counted false: this receive does not count, for a receiver that shuts down. Returns the status: pending, scheduled or failed. Errors: kernel_tenant_required, queue_receipt_invalid, queue_receipt_lost, queue_receive_invalid.';
