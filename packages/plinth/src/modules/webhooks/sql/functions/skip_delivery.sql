create or replace function plinth.skip_delivery(p_delivery_id uuid) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _blocked plinth_webhooks.deliveries := plinth_webhooks.require_delivery(p_delivery_id);
begin
  if _blocked.status <> 'blocked' then
    raise exception 'The delivery % is %, nothing waits for it', _blocked.id, _blocked.status using errcode = 'PL409', detail = '{"code":"webhooks_delivery_not_blocked"}',
      hint = 'Only a delivery that blocks its lane is skipped; plinth.event_deliveries shows those with status blocked.';
  end if;
  perform from plinth_webhooks.lanes n where n.tenant_id = _blocked.tenant_id and n.subscription_id = _blocked.subscription_id for no key update;
  update plinth_webhooks.deliveries d set status = 'failed', finished_at = clock_timestamp() where d.tenant_id = _blocked.tenant_id and d.id = _blocked.id;
  perform plinth_webhooks.promote(_blocked.tenant_id, _blocked.subscription_id, _blocked.lane_key);
  perform plinth.log_audit_event(p_action := 'webhooks.delivery_skipped', p_resource_type := 'webhook_delivery', p_resource_id := _blocked.id::text,
    p_metadata := jsonb_build_object('subscription_id', _blocked.subscription_id, 'event_id', _blocked.event_id, 'event_type', _blocked.event_type));
  return _blocked.id;
end
$$;
comment on function plinth.skip_delivery(uuid) is 'Gives up the delivery that blocks an ordered lane, so that what is behind it goes out. Errors: webhooks_delivery_not_found, webhooks_delivery_not_blocked.';
