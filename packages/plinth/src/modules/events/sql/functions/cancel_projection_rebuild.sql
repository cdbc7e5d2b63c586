create or replace function plinth.cancel_projection_rebuild(p_projection text, p_reason text) returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform plinth_kernel.require_worker();
  perform plinth_events.require_reason(p_reason);
  if not plinth_kernel.projection_cancel(p_projection, p_reason) then
    raise exception 'The projection % is not being rebuilt', left(p_projection, 200) using errcode = 'PL404', detail = '{"code":"kernel_projection_unknown"}',
      hint = 'Look for its name and phase in plinth.projections.';
  end if;
  perform plinth_events.audit_operation(null, 'events.rebuild_cancelled', 'projection', p_projection, null, p_reason);
end
$$;
comment on function plinth.cancel_projection_rebuild(text, text) is
  'Asks the process that rebuilds a projection to stop and to leave nothing of it; the live tables stay as they are. Of one that was interrupted, plinth projections cancel or the next rebuild removes the rest. For plinth_worker; recorded in the audit log. Errors: kernel_projection_unknown, events_operation_invalid, kernel_forbidden.';
