create or replace function plinth.rotate_subscription_key(p_subscription_id uuid, p_overlap interval default interval '24 hours') returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _id uuid := plinth_webhooks.add_key(_old.id, p_overlap);
begin
  perform plinth.log_audit_event(p_action := 'webhooks.key_rotated', p_resource_type := 'webhook_subscription', p_resource_id := _old.id::text,
    p_metadata := jsonb_build_object('overlap', p_overlap, 'key', _id));
  return _id;
end
$$;
comment on function plinth.rotate_subscription_key(uuid, interval) is
  'Makes a new ed25519 signing key and returns its id in plinth.webhook_public_keys, which shows the public half within seconds. Those before it sign too for p_overlap at most, 0 to 7 days; 0: from now on the new one alone. Errors: webhooks_subscription_not_found, webhooks_overlap_invalid.';
