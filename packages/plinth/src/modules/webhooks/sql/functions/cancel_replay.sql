create or replace function plinth.cancel_replay(p_replay_id uuid) returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _replay plinth_webhooks.replays;
begin
  select r.* into _replay from plinth_webhooks.replays r where r.tenant_id = (select c.tenant_id from plinth_kernel.current_context() c) and r.id = p_replay_id for no key update;
  if _replay.id is null then
    raise exception 'There is no replay %', coalesce(p_replay_id::text, 'null') using errcode = 'PL404', detail = '{"code":"webhooks_replay_not_found"}', hint = 'plinth.webhook_replays lists them.';
  end if;
  if _replay.status = 'running' then
    update plinth_webhooks.replays r set status = 'cancelled', finished_at = clock_timestamp() where r.tenant_id = _replay.tenant_id and r.id = _replay.id;
    perform plinth.log_audit_event(p_action := 'webhooks.replay_cancelled', p_resource_type := 'webhook_subscription', p_resource_id := _replay.subscription_id::text,
      p_metadata := jsonb_build_object('replay_id', _replay.id, 'added', _replay.added, 'total', _replay.total));
  end if;
  return _replay.added;
end
$$;
comment on function plinth.cancel_replay(uuid) is
  'Stops a replay from adding more and returns how many deliveries it had added; those go out (at most about 1,000 wait at a time). One that is over stays as it is. Error: webhooks_replay_not_found.';
