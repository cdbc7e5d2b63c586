create or replace function plinth_webhooks.require_subscription(p_subscription_id uuid) returns plinth_webhooks.subscriptions
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _found plinth_webhooks.subscriptions;
begin
  select s.* into _found from plinth_webhooks.subscriptions s
  where s.tenant_id = (select c.tenant_id from plinth_kernel.current_context() c) and s.id = p_subscription_id for no key update;
  if _found.id is null then
    raise exception 'There is no subscription %', coalesce(p_subscription_id::text, 'null') using errcode = 'PL404', detail = '{"code":"webhooks_subscription_not_found"}',
      hint = 'Check the id and the tenant; plinth.event_subscriptions lists them.';
  end if;
  return _found;
end
$$;
comment on function plinth_webhooks.require_subscription(uuid) is 'Locks a subscription of the tenant and returns it. Error: webhooks_subscription_not_found.';
