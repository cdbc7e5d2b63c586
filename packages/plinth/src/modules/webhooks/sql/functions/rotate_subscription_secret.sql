create or replace function plinth.rotate_subscription_secret(p_subscription_id uuid, p_overlap interval default interval '24 hours', p_secret text default null) returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _secret text := plinth_webhooks.add_secret(_old.id, p_secret, p_overlap);
begin
  perform plinth.log_audit_event(p_action := 'webhooks.secret_rotated', p_resource_type := 'webhook_subscription', p_resource_id := _old.id::text,
    p_metadata := jsonb_build_object('overlap', p_overlap));
  return _secret;
end
$$;
comment on function plinth.rotate_subscription_secret(uuid, interval, text) is
  'Makes a new signing secret and returns it: the only time that it can be read. Those before it sign too for p_overlap at most, 0 to 7 days; 0: from now on the new one alone. Errors: webhooks_subscription_not_found, webhooks_overlap_invalid, webhooks_secret_invalid.';
