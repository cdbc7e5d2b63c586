create or replace function plinth.pause_consumer(p_consumer text, p_reason text, p_for interval default null) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform plinth_kernel.require_worker();
  perform plinth_events.require_reason(p_reason);
  if p_for <= interval '0' then
    raise exception 'A pause ends later than it begins' using errcode = 'PL422', detail = '{"code":"events_operation_invalid"}', hint = 'Pass a positive interval, or none.';
  end if;
  perform plinth_events.require_consumer(plinth_kernel.feed_pause('plinth_events.events', p_consumer, p_reason, coalesce(clock_timestamp() + p_for, 'infinity')), p_consumer);
  perform plinth_events.audit_operation(null, 'events.consumer_paused', 'consumer', p_consumer, jsonb_build_object('for', p_for), p_reason);
end
$$;
comment on function plinth.pause_consumer(text, text, interval) is
  'Gives a consumer no more events, for p_for or until plinth.resume_consumer; a batch that it is handling is finished. Its unread events are kept. For plinth_worker; recorded in the audit log. Errors: events_consumer_unknown, events_operation_invalid, kernel_forbidden.';
