create or replace function plinth_webhooks.require_delivery(p_delivery_id uuid) returns plinth_webhooks.deliveries
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _found plinth_webhooks.deliveries;
begin
  select d.* into _found from plinth_webhooks.deliveries d
  where d.tenant_id = (select c.tenant_id from plinth_kernel.current_context() c) and d.id = p_delivery_id for update;
  if _found.id is null then
    raise exception 'There is no delivery %', coalesce(p_delivery_id::text, 'null') using errcode = 'PL404', detail = '{"code":"webhooks_delivery_not_found"}',
      hint = 'Deliveries that were given up are listed in plinth.event_deliveries with status failed or blocked.';
  end if;
  return _found;
end
$$;
comment on function plinth_webhooks.require_delivery(uuid) is 'Locks a delivery of the tenant and returns it. Error: webhooks_delivery_not_found.';
