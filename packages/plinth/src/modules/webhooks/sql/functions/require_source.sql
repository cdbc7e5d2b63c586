create or replace function plinth_webhooks.require_source(p_source_id uuid) returns plinth_webhooks.inbound_sources
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _found plinth_webhooks.inbound_sources;
begin
  select s.* into _found from plinth_webhooks.inbound_sources s
  where s.tenant_id = (select c.tenant_id from plinth_kernel.current_context() c) and s.id = p_source_id for no key update;
  if _found.id is null then
    raise exception 'There is no inbound source %', coalesce(p_source_id::text, 'null') using errcode = 'PL404', detail = '{"code":"webhooks_source_not_found"}',
      hint = 'Check the id and the tenant; plinth.webhook_inbound_sources lists them.';
  end if;
  return _found;
end
$$;
comment on function plinth_webhooks.require_source(uuid) is 'Locks an inbound source of the tenant and returns it. Error: webhooks_source_not_found.';
