create or replace function plinth.release_legal_hold(p_hold_id uuid, p_reason text) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _hold plinth_kernel.retention_holds;
begin
  if coalesce(length(trim(p_reason)), 0) not between 1 and 1000 then
    raise exception 'releasing a legal hold needs a reason of 1 to 1,000 characters' using errcode = 'PL422', detail = '{"code":"maintenance_hold_invalid"}', hint = 'Say why the rows need no longer be held.';
  end if;
  update plinth_kernel.retention_holds as h
  set released_at = clock_timestamp(), released_by = coalesce(plinth_kernel.setting('actor_id'), session_user), release_reason = p_reason
  where h.tenant_id = plinth_kernel.require_own_tenant() and h.id = p_hold_id and h.released_at is null
  returning * into _hold;
  if _hold.id is null then
    raise exception 'there is no open legal hold %', p_hold_id using errcode = 'PL404', detail = '{"code":"maintenance_hold_unknown"}', hint = 'Look at plinth.legal_holds.';
  end if;
  perform plinth.log_audit_event(p_action := 'legal_hold.released', p_resource_type := 'legal_hold', p_resource_id := p_hold_id::text,
    p_before := jsonb_build_object('kind', _hold.kind, 'entity', _hold.entity, 'reason', _hold.reason), p_reason := p_reason, p_severity := 'warning');
end
$$;
comment on function plinth.release_legal_hold(uuid, text) is
  'Ends a legal hold of the tenant of the transaction; its rows follow the policies again. Recorded in the audit log. Errors: maintenance_hold_unknown, maintenance_hold_invalid, kernel_tenant_required, kernel_forbidden.';
