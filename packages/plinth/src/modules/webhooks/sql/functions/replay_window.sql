create or replace function plinth_webhooks.replay_window(p_subscription_id uuid, p_since timestamptz, p_until timestamptz, p_patterns text[], p_ids uuid[], p_only_failed boolean, p_filter jsonb)
returns plinth_webhooks.replays
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _of plinth_webhooks.subscriptions := plinth_webhooks.require_subscription(p_subscription_id);
  _replay plinth_webhooks.replays;
  _unknown integer;
  _fault text := case
    when p_since is null and p_ids is null and not p_only_failed then 'it needs a time since which, ids, or only what failed'
    when p_since >= coalesce(p_until, clock_timestamp()) then 'it ends before it begins'
    when cardinality(p_ids) not between 1 and 1000 then 'it takes 1 to 1,000 ids'
  end;
begin
  if _fault is not null then
    raise exception 'The replay is not valid: %', _fault using errcode = 'PL400', detail = '{"code":"webhooks_replay_invalid"}', hint = 'Give p_since, p_ids or p_only_failed, and p_until only after p_since.';
  end if;
  if p_patterns is not null then
    perform plinth_webhooks.check_patterns(p_patterns);
  end if;
  _replay.tenant_id := _of.tenant_id;
  _replay.subscription_id := _of.id;
  _replay.only_failed := p_only_failed;
  _replay.patterns := p_patterns;
  _replay.filter := case when p_filter not in ('null', '[]') then p_filter end;
  _replay.filter_path := plinth_webhooks.filter_path(p_filter);
  _replay.since := p_since;
  -- Ids are made by the clocks of those who publish: without an end, what has happened counts up to the newest, also where that is of a clock that is ahead, or of this millisecond.
  _replay.until := least(coalesce(p_until, clock_timestamp() + interval '5 minutes'), greatest(clock_timestamp(),
    (select plinth_kernel.v7_time(e.id) + interval '1 millisecond' from plinth_events.events e where e.tenant_id = _of.tenant_id order by e.id desc limit 1)));
  _replay.done_to := case when p_since is null then '00000000-0000-0000-0000-000000000000'::uuid else plinth_kernel.v7_floor(p_since) end;
  if p_ids is not null then
    with known as materialized (
      select e.id as given, e.id as event_id from plinth_events.events e where e.tenant_id = _of.tenant_id and e.id = any (p_ids)
      union select a.delivery_id, a.event_id from plinth_webhooks.attempts a where a.tenant_id = _of.tenant_id and a.delivery_id = any (p_ids) and a.subscription_id = _of.id
      union select d.id, d.event_id from plinth_webhooks.deliveries d where d.tenant_id = _of.tenant_id and d.id = any (p_ids) and d.subscription_id = _of.id
    )
    select (select array_agg(distinct k.event_id) from known k), (select count(*) from (select unnest(p_ids) except select k.given from known k where k.event_id is not null) u)
    into _replay.event_ids, _unknown;
    if _unknown > 0 then
      raise exception 'The replay is not valid: % of the ids are neither events of the tenant nor deliveries of one to the subscription', _unknown using errcode = 'PL400',
        detail = jsonb_build_object('code', 'webhooks_replay_invalid', 'unknown', _unknown)::text, hint = 'Give ids of events that are kept, or webhook-ids; test events cannot be sent again.';
    end if;
  end if;
  begin
    select count(*) into _replay.total from plinth_webhooks.replay_candidates(_replay, 100000, 10000) c
    where c.wanted and (p_only_failed or not exists (
      select from plinth_webhooks.deliveries d where d.tenant_id = _replay.tenant_id and d.id = c.delivery_id and d.status <> 'failed'));
  exception when data_exception or undefined_object or feature_not_supported then
    raise exception 'The replay is not valid: the filter could not be judged: %', sqlerrm using errcode = 'PL400', detail = '{"code":"webhooks_replay_invalid"}', hint = 'Correct the filter.';
  end;
  return _replay;
end
$$;
comment on function plinth_webhooks.replay_window(uuid, timestamptz, timestamptz, text[], uuid[], boolean, jsonb) is 'What a replay would send, with its total: at most so many, judged by the filters, of the subscription and its own, among the first 10,000 events of its range, by type alone up to 100,000. Errors: webhooks_subscription_not_found, webhooks_replay_invalid, webhooks_pattern_invalid, webhooks_filter_invalid.';
