create or replace function plinth.reset_retention_policy(p_kind text, p_reason text default null) returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant constant uuid := plinth_kernel.require_own_tenant();
  _before interval;
begin
  perform plinth_maintenance.policy_kind(p_kind);
  delete from plinth_kernel.retention_policies as p where p.tenant_id = _tenant and p.kind = p_kind returning p.keep into _before;
  if not found then
    return false;
  end if;
  perform plinth.log_audit_event(p_action := 'retention_policy.reset', p_resource_type := 'retention_policy', p_resource_id := p_kind,
    p_before := jsonb_build_object('keep', coalesce(_before::text, 'forever')),
    p_after := jsonb_build_object('keep', coalesce(plinth_kernel.retention_keep(p_kind, _tenant)::text, 'forever')), p_reason := p_reason, p_severity := 'warning');
  return true;
end
$$;
comment on function plinth.reset_retention_policy(text, text) is
  'Goes back to the policy above: a tenant''s to that of the installation, the installation''s to that of the module. False when there was nothing to reset. Recorded in the audit log. Errors: maintenance_kind_unknown, kernel_tenant_required, kernel_forbidden.';
