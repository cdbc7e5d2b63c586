create or replace function plinth.forget_consumer(p_consumer text, p_reason text) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _discarded integer;
  _waits text := current_setting('lock_timeout');
begin
  perform plinth_kernel.require_worker();
  perform plinth_events.require_reason(p_reason);
  perform plinth_events.require_consumer(plinth_kernel.feed_stop('plinth_events.events', p_consumer) > 0, p_consumer);
  begin
    perform set_config('lock_timeout', '2s', true);
    update plinth_events.parked as p set status = 'discarded', reason = p_reason, retry_at = null, updated_at = clock_timestamp(), ended_at = clock_timestamp()
    where p.consumer = p_consumer and p.ended_at is null;
    get diagnostics _discarded = row_count;
    perform set_config('lock_timeout', _waits, true);
  exception when lock_not_available then
    perform plinth_events.refuse_held(p_consumer);
  end;
  perform plinth_events.audit_operation(null, 'events.consumer_forgotten', 'consumer', p_consumer, jsonb_build_object('discarded', _discarded), p_reason);
end
$$;
comment on function plinth.forget_consumer(text, text) is
  'Forgets a consumer that is gone for good: its cursors, so that unread events no longer hold back retention, and what was put aside for it, which is discarded. One that runs again begins anew. Waits for batches that are being handled, and 2 s for whoever holds what was put aside. For plinth_worker; recorded in the audit log. Errors: events_consumer_unknown, events_operation_invalid, kernel_timeout, kernel_forbidden.';
