create or replace function plinth.set_inbound_source_enabled(p_source_id uuid, p_enabled boolean) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.inbound_sources := plinth_webhooks.require_source(p_source_id);
begin
  if _old.enabled = p_enabled then
    return;
  end if;
  update plinth_webhooks.inbound_sources s set enabled = p_enabled, updated_at = clock_timestamp() where s.tenant_id = _old.tenant_id and s.id = _old.id;
  perform plinth.log_audit_event(p_action := case when p_enabled then 'webhooks.source_enabled' else 'webhooks.source_disabled' end, p_resource_type := 'webhook_source', p_resource_id := _old.id::text);
end
$$;
comment on function plinth.set_inbound_source_enabled(uuid, boolean) is 'Takes messages of an inbound source, or answers them with 409, so that the provider tries again later. Error: webhooks_source_not_found.';
