create or replace function plinth.park_failing_event(p_id uuid, p_reason text) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  _tenant_id uuid := plinth_kernel.acting_tenant();
  _parked plinth_events.parked;
begin
  perform plinth_events.require_reason(p_reason);
  update plinth_events.parked as p set status = 'parked', reason = p_reason, retry_at = null, updated_at = clock_timestamp()
  where p.id = p_id and p.status = 'failing' and (_tenant_id is null or p.tenant_id = _tenant_id) returning * into _parked;
  if not found then
    raise exception 'There is no failing event %', p_id using errcode = 'PL404', detail = '{"code":"events_parked_not_found"}', hint = 'Look for it in plinth.parked_events, with status failing.';
  end if;
  perform plinth_events.audit_operation(_parked.tenant_id, 'events.event_parked', 'parked_event', p_id::text,
    jsonb_build_object('consumer', _parked.consumer, 'position', _parked.position), p_reason);
end
$$;
comment on function plinth.park_failing_event(uuid, text) is
  'Parks an event that a consumer fails on, so that its tenant goes on without it. Of the tenant of the transaction; by plinth_worker of any. Recorded in the audit log. Errors: events_parked_not_found, events_operation_invalid, kernel_tenant_required.';
