create or replace function plinth.enable_subscription(p_subscription_id uuid) returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _waiting integer;
begin
  if _old.enabled then
    return 0;
  end if;
  update plinth_webhooks.subscriptions s
  set enabled = true, disabled_at = null, disabled_reason = null, failure_count = 0, failing_since = null, updated_at = clock_timestamp()
  where s.tenant_id = _old.tenant_id and s.id = _old.id;
  update plinth_webhooks.deliveries d set due_at = clock_timestamp()
  where d.tenant_id = _old.tenant_id and d.subscription_id = _old.id and d.status = 'pending' and d.due_at = 'infinity';
  get diagnostics _waiting = row_count;
  perform plinth.log_audit_event(p_action := 'webhooks.subscription_enabled', p_resource_type := 'webhook_subscription', p_resource_id := _old.id::text);
  return _waiting;
end
$$;
comment on function plinth.enable_subscription(uuid) is
  'Sends to a disabled subscription again, beginning with the deliveries that had been waiting when it was disabled; returns how many. Events from the time in between are not sent. Error: webhooks_subscription_not_found.';
