create or replace function plinth_webhooks.tell(p_subscription_id uuid) returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _lane plinth_webhooks.lanes;
  _of plinth_webhooks.subscriptions;
begin
  select n.* into _lane from plinth_webhooks.lanes n where n.tenant_id = plinth_kernel.tenant_id() and n.subscription_id = p_subscription_id for no key update skip locked;
  select s.* into _of from plinth_webhooks.subscriptions s where s.tenant_id = plinth_kernel.tenant_id() and s.id = p_subscription_id;
  if _lane.warned is null or _of.id is null or _lane.warned = _lane.told or (_lane.warned = 100 and _of.enabled) then
    return null;
  end if;
  update plinth_webhooks.lanes n set told = n.warned where n.tenant_id = _lane.tenant_id and n.subscription_id = _lane.subscription_id;
  if _lane.warned = 100 then
    perform plinth.log_audit_event(p_action := 'webhooks.subscription_disabled', p_resource_type := 'webhook_subscription', p_resource_id := _of.id::text, p_reason := _of.disabled_reason, p_severity := 'warning');
    perform plinth.publish_event(p_event_type := 'webhooks.subscription_disabled', p_payload := jsonb_build_object('subscription_id', _of.id, 'name', _of.name, 'reason', _of.disabled_reason));
  elsif _lane.warned > 0 then
    perform plinth.log_audit_event(p_action := 'webhooks.subscription_failing', p_resource_type := 'webhook_subscription', p_resource_id := _of.id::text, p_severity := 'warning',
      p_reason := 'failing since ' || to_char(_lane.failing_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') || ', ' || _lane.warned || ' % of the way to being disabled',
      p_metadata := jsonb_build_object('stage', _lane.warned, 'failure_count', _lane.failure_count));
    perform plinth.publish_event(p_event_type := 'webhooks.subscription_failing', p_payload := jsonb_build_object('subscription_id', _of.id, 'name', _of.name, 'stage', _lane.warned,
      'failure_count', _lane.failure_count, 'failing_since', _lane.failing_since, 'disabled_not_before', _lane.failing_since + _of.disable_after));
  end if;
  return _lane.warned;
end
$$;
comment on function plinth_webhooks.tell(uuid) is 'Writes the audit entry and the event of the stage that a failing subscription has reached, once; returns the stage, null when there is nothing to tell.';
