create or replace function plinth.unsubscribe(p_subscription_id uuid) returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
begin
  delete from plinth_webhooks.deliveries d where d.tenant_id = _old.tenant_id and d.subscription_id = _old.id;
  delete from plinth_webhooks.subscriptions s where s.tenant_id = _old.tenant_id and s.id = _old.id;
  perform plinth.log_audit_event(p_action := 'webhooks.subscription_deleted', p_resource_type := 'webhook_subscription', p_resource_id := _old.id::text,
    p_before := jsonb_build_object('name', _old.name, 'url', _old.url, 'patterns', _old.patterns));
end
$$;
comment on function plinth.unsubscribe(uuid) is 'Deletes a subscription with its secrets and everything that was still to be sent to it; the log of attempts stays. Error: webhooks_subscription_not_found.';
