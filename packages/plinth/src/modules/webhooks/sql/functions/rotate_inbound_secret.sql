create or replace function plinth.rotate_inbound_secret(p_source_id uuid, p_secret text default null, p_overlap interval default interval '24 hours') returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _old plinth_webhooks.inbound_sources := plinth_webhooks.require_source(p_source_id);
  _secret text := plinth_webhooks.add_inbound_secret(_old, p_secret, p_overlap);
begin
  perform plinth.log_audit_event(p_action := 'webhooks.source_secret_rotated', p_resource_type := 'webhook_source', p_resource_id := _old.id::text, p_metadata := jsonb_build_object('overlap', p_overlap));
  return _secret;
end
$$;
comment on function plinth.rotate_inbound_secret(uuid, text, interval) is 'Gives an inbound source another secret, the provider''s or one made here, and returns it; those before it are accepted for p_overlap at most, 0 to 30 days; 0: from now on the new one alone. Errors: webhooks_source_not_found, webhooks_secret_invalid, webhooks_overlap_invalid.';
