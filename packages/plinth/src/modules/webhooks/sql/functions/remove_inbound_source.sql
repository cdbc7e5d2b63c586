create or replace function plinth.remove_inbound_source(p_source_id uuid) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.inbound_sources := plinth_webhooks.require_source(p_source_id);
begin
  delete from plinth_webhooks.inbound_sources s where s.tenant_id = _old.tenant_id and s.id = _old.id;
  perform plinth.log_audit_event(p_action := 'webhooks.source_removed', p_resource_type := 'webhook_source', p_resource_id := _old.id::text, p_before := jsonb_build_object('name', _old.name, 'profile', _old.profile));
end
$$;
comment on function plinth.remove_inbound_source(uuid) is 'Forgets an inbound source and its secrets; its address answers 404 from then on. Error: webhooks_source_not_found.';
