create or replace function plinth.revoke_portal_links(p_reason text default null) returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := (select c.tenant_id from plinth_kernel.current_context() c);
  _generation integer;
begin
  insert into plinth_webhooks.portal_access (tenant_id, generation, revoked_at) values (_tenant, 2, clock_timestamp())
  on conflict (tenant_id) do update set generation = portal_access.generation + 1, revoked_at = excluded.revoked_at
  returning generation into _generation;
  perform plinth.log_audit_event(p_action := 'webhooks.portal_links_revoked', p_resource_type := 'tenant', p_resource_id := _tenant::text,
    p_after := jsonb_build_object('generation', _generation), p_reason := p_reason);
  return _generation;
end
$$;
comment on function plinth.revoke_portal_links(text) is
  'Voids every link into the webhooks portal of the tenant that was made before, and the sessions opened by them. Returns the generation of links from now on. Servers that saw a link a moment ago refuse it within 30 seconds. Error: kernel_tenant_required.';
