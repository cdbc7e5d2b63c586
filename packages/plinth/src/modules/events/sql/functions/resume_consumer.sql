create or replace function plinth.resume_consumer(p_consumer text, p_reason text default null) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform plinth_kernel.require_worker();
  perform plinth_events.require_consumer(plinth_kernel.feed_resume('plinth_events.events', p_consumer), p_consumer);
  perform plinth_events.audit_operation(null, 'events.consumer_resumed', 'consumer', p_consumer, null, p_reason);
end
$$;
comment on function plinth.resume_consumer(text, text) is
  'Ends the pause of a consumer; it goes on where it was. For plinth_worker; recorded in the audit log. Errors: events_consumer_unknown, kernel_forbidden.';
