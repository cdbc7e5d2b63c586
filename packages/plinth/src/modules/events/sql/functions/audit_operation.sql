-- The audit log wants a tenant: the nil one stands for the whole installation.
create or replace function plinth_events.audit_operation(p_tenant uuid, p_action text, p_type text, p_id text, p_after jsonb, p_reason text) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _entered text := coalesce(current_setting('plinth.tenant_id', true), '');
begin
  perform set_config('plinth.tenant_id', coalesce(p_tenant, '00000000-0000-0000-0000-000000000000')::text, true);
  perform plinth.log_audit_event(p_action := p_action, p_resource_type := p_type, p_resource_id := p_id, p_after := p_after, p_reason := p_reason, p_severity := 'warning');
  perform set_config('plinth.tenant_id', _entered, true);
end
$$;
comment on function plinth_events.audit_operation(uuid, text, text, text, jsonb, text) is 'Records what somebody did to a consumer or a parked event in the audit log, of a tenant or (null) of the installation.';
