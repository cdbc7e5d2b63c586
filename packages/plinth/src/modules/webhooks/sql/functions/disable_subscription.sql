create or replace function plinth.disable_subscription(p_subscription_id uuid, p_reason text default 'by hand') returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
begin
  if not _old.enabled then
    return;
  end if;
  update plinth_webhooks.subscriptions s set enabled = false, disabled_at = clock_timestamp(), disabled_reason = left(p_reason, 500), updated_at = clock_timestamp()
  where s.tenant_id = _old.tenant_id and s.id = _old.id;
  perform plinth.log_audit_event(p_action := 'webhooks.subscription_disabled', p_resource_type := 'webhook_subscription', p_resource_id := _old.id::text, p_reason := p_reason);
end
$$;
comment on function plinth.disable_subscription(uuid, text) is
  'Stops sending. What is waiting stays and is sent when the subscription is enabled again; new events are not kept for it. Error: webhooks_subscription_not_found.';
