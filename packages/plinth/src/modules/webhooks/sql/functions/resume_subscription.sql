create or replace function plinth.resume_subscription(p_subscription_id uuid, p_mode text default 'continue', p_since timestamptz default null)
returns table (waiting integer, dropped integer, replay_id uuid)
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
  _old plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _waiting integer;
  _dropped integer := 0;
  _replay uuid;
begin
  if p_mode is null or p_mode not in ('continue', 'skip', 'replay') or (p_mode = 'replay') <> (p_since is not null) then
    raise exception 'A subscription is not resumed by %', coalesce(quote_literal(p_mode), 'null') using errcode = 'PL400', detail = '{"code":"webhooks_resume_invalid"}',
      hint = 'Give continue, skip, or replay with the time since which events are to be sent (p_since); p_since only with replay.';
  end if;
  update plinth_webhooks.lanes n
  set breaker = case n.breaker when 'closed' then 'closed' else 'open' end, next_at = case when n.breaker <> 'closed' then clock_timestamp() end, trips = 0, failure_count = 0, failing_since = null,
    failure_share = 0, warned = 0, told = 0
  where n.tenant_id = _old.tenant_id and n.subscription_id = _old.id;
  update plinth_webhooks.subscriptions s set enabled = true, disabled_at = null, disabled_reason = null, updated_at = clock_timestamp() where s.tenant_id = _old.tenant_id and s.id = _old.id;
  if p_mode = 'skip' then
    delete from plinth_webhooks.deliveries d
    where d.tenant_id = _old.tenant_id and d.subscription_id = _old.id and d.status <> 'failed'
      and not exists (select from plinth_webhooks.flights f where f.tenant_id = d.tenant_id and f.subscription_id = d.subscription_id and f.delivery_id = d.id and f.lease_until > clock_timestamp());
    get diagnostics _dropped = row_count;
    -- What is under way may be first now, and has to be taken again should its dispatcher die.
    perform plinth_webhooks.promote_all(_old.tenant_id, _old.id);
  end if;
  update plinth_webhooks.deliveries d set due_at = clock_timestamp(), step = 0, give_up_at = null
  where d.tenant_id = _old.tenant_id and d.subscription_id = _old.id and d.due_at < 'infinity' and (d.due_at > clock_timestamp() or d.step > 0 or d.give_up_at is not null);
  if p_mode = 'replay' then
    _replay := plinth.start_replay(p_subscription_id, p_since);
  end if;
  select count(*) into _waiting from plinth_webhooks.deliveries d where d.tenant_id = _old.tenant_id and d.subscription_id = _old.id and d.status = 'pending';
  perform plinth.log_audit_event(p_action := 'webhooks.subscription_enabled', p_resource_type := 'webhook_subscription', p_resource_id := _old.id::text,
    p_metadata := jsonb_build_object('mode', p_mode, 'since', p_since, 'waiting', _waiting, 'dropped', _dropped, 'replay_id', _replay));
  return query select _waiting, _dropped, _replay;
end
$$;
comment on function plinth.resume_subscription(uuid, text, timestamptz) is
  'Sends to a subscription again that is disabled or whose breaker is open: continue with what waits, skip what waits, or replay: what waits, and every event since p_since (plinth.start_replay). Tells how many wait, how many were dropped and which replay was begun. The first attempt is a probe when the breaker was open. Errors: webhooks_subscription_not_found, webhooks_resume_invalid, webhooks_replay_invalid, webhooks_replays_busy.';
