-- The audit log wants a tenant: the nil one stands for the whole installation.
create or replace function plinth_jobs.audit_limits(p_tenant uuid, p_action text, p_type text, p_id uuid, p_before jsonb, p_after jsonb, p_reason text) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _entered text := coalesce(current_setting('plinth.tenant_id', true), '');
begin
  perform set_config('plinth.tenant_id', p_tenant::text, true);
  perform plinth.log_audit_event(p_action := p_action, p_resource_type := p_type, p_resource_id := p_id::text, p_before := p_before, p_after := p_after, p_reason := p_reason,
    p_severity := 'warning');
  perform set_config('plinth.tenant_id', _entered, true);
end
$$;
comment on function plinth_jobs.audit_limits(uuid, text, text, uuid, jsonb, jsonb, text) is 'Records a change of a limit, weight or pause in the audit log of its tenant.';
