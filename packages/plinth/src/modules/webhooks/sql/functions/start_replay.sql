create or replace function plinth.start_replay(p_subscription_id uuid, p_since timestamptz default null, p_until timestamptz default null, p_patterns text[] default null, p_ids uuid[] default null,
  p_only_failed boolean default false, p_rate_per_second double precision default null, p_filter jsonb default null)
returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _replay plinth_webhooks.replays := plinth_webhooks.replay_window(p_subscription_id, p_since, p_until, p_patterns, p_ids, p_only_failed, p_filter);
begin
  if p_rate_per_second not between 0.1 and 100000 then
    raise exception 'The replay is not valid: a rate is 0.1 to 100,000 a second' using errcode = 'PL400', detail = '{"code":"webhooks_replay_invalid"}', hint = 'Leave the rate out for as fast as it goes.';
  end if;
  if (select count(*) >= 20 or count(*) filter (where r.subscription_id = _replay.subscription_id) >= 5 from plinth_webhooks.replays r where r.tenant_id = _replay.tenant_id and r.status = 'running') then
    raise exception 'Too many replays are running: 5 of a subscription and 20 of a tenant are the most' using errcode = 'PL409', detail = '{"code":"webhooks_replays_busy"}',
      hint = 'Wait for one to end, or cancel one; plinth.webhook_replays shows them.';
  end if;
  insert into plinth_webhooks.replays (tenant_id, subscription_id, only_failed, patterns, event_ids, filter, filter_path, since, until, rate_per_second, total, done_to, created_by, reason)
  values (_replay.tenant_id, _replay.subscription_id, p_only_failed, p_patterns, _replay.event_ids, _replay.filter, _replay.filter_path, p_since, _replay.until, p_rate_per_second, _replay.total, _replay.done_to,
    (select c.actor_id from plinth_kernel.current_context() c), plinth_kernel.setting('reason'))
  returning id into _replay.id;
  perform plinth.log_audit_event(p_action := 'webhooks.replay_started', p_resource_type := 'webhook_subscription', p_resource_id := _replay.subscription_id::text,
    p_metadata := jsonb_build_object('replay_id', _replay.id, 'since', p_since, 'until', _replay.until, 'patterns', p_patterns, 'ids', cardinality(p_ids), 'only_failed', p_only_failed, 'total', _replay.total,
      'rate_per_second', p_rate_per_second, 'filter', _replay.filter));
  return _replay.id;
end
$$;
comment on function plinth.start_replay(uuid, timestamptz, timestamptz, text[], uuid[], boolean, double precision, jsonb) is
  'Sends to a subscription again what happened from p_since to p_until (default now), what p_ids name (events, or webhook-ids), or only what was given up (p_only_failed); p_patterns narrows it by type, p_filter by what the event says (like the filter of a subscription, which counts as well), p_rate_per_second (0.1 to 100,000 deliveries) slows it. What was sent before has its webhook-id again; what waits anyway is left alone. It is worked off in the background: plinth.webhook_replays shows how far. Events count by the time in their id. At most 5 of a subscription and 20 of a tenant run at a time. Errors: webhooks_subscription_not_found, webhooks_replay_invalid, webhooks_replays_busy, webhooks_pattern_invalid, webhooks_filter_invalid.';
