-- What results mean for lanes, and for the deliveries that were not delivered: breakers, windows, pauses, warnings, retries. Asked by settle when something
-- failed or a lane is in trouble, before the results land, in the same transaction; settle holds the lanes and the deliveries. The leases are locked, so that nobody
-- takes them over between this and their end. A delivery that was withheld while it was under way (withhold_internal) stays given up.
create or replace function plinth_webhooks.judge(p_rows jsonb, p_busy uuid[]) returns boolean
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  _to_tell boolean;
begin
  with given as materialized (
    select g.*, random() as jitter from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, subscription_id uuid, lease_id uuid, outcome text, lane_key text, permanent boolean,
      retry_after_ms double precision, age_ms double precision, response_time_ms double precision, response_code integer, error_code text, error_message text)
  ), ended as materialized (
    select f.attempt, f.probe, g.* from given g cross join lateral (
      select f.attempt, f.probe from plinth_webhooks.flights f
      where f.tenant_id = g.tenant_id and f.subscription_id = g.subscription_id and f.delivery_id = g.id and f.lease_id = g.lease_id limit 1 for update) f
    where g.id <> all (p_busy)
  ), held as materialized (
    select d.subscription_id, d.lane_key, d.lane_key is not null and (d.lane_key is distinct from l.lane_key or d.due_at = 'infinity' or d.seq < 0) as reordered, d.step, d.due_at, s.poison, l.attempt, l.probe, l.tenant_id, l.id, l.outcome, l.retry_after_ms, l.age_ms, l.response_time_ms, l.response_code,
      l.error_code, l.error_message, r.refused, p.delay,
      case when l.outcome in ('failed', 'gone') then coalesce(d.give_up_at, clock_timestamp() + (1.2 * coalesce((select sum(x) from unnest(q.seconds) x), 0)) * interval '1 second') end as give_up_at,
      l.outcome = 'gone' or (l.outcome = 'failed' and (coalesce(l.permanent, false) or coalesce(d.give_up_at <= clock_timestamp() - case when r.refused then interval '1 day' else interval '0' end, false)
        or case when l.probe or r.refused then cardinality(q.seconds) = 0 else p.delay is null end)) as dead
    from ended l
    cross join lateral (select d.* from plinth_webhooks.deliveries d where d.tenant_id = l.tenant_id and d.id = l.id limit 1) d
    cross join lateral (select s.* from plinth_webhooks.subscriptions s where s.tenant_id = d.tenant_id and s.id = d.subscription_id limit 1) s
    -- 429 is about the rate of the lane and not about this delivery: it takes no step of its schedule.
    cross join lateral (select l.outcome = 'failed' and coalesce(l.response_code = 429, false) as refused) r
    cross join lateral (select plinth_webhooks.retry_seconds(s.retry_schedule, s.retry_seconds) as seconds) q
    cross join lateral (select q.seconds[d.step + 1] * (0.8 + 0.4 * l.jitter) * interval '1 second' as delay) p
  ), tally as materialized (
    select h.tenant_id, h.subscription_id, count(*) filter (where h.outcome = 'delivered')::integer as delivered,
      count(*) filter (where h.outcome in ('failed', 'gone'))::integer as failed,
      count(*) filter (where h.refused)::integer as refused,
      count(*) filter (where h.outcome = 'failed' and (h.response_code is null or h.response_code >= 500 or h.response_code = 408))::integer as down,
      bool_or(h.outcome = 'gone') as gone, bool_or(h.outcome = 'failed' and (h.response_code in (429, 503) or h.error_code = 'egress_timeout')) as crowded,
      max(h.retry_after_ms) filter (where h.response_code in (429, 503)) as pause_ms, min(coalesce(h.age_ms, 0)) filter (where h.response_code in (429, 503)) as age_ms,
      avg(h.response_time_ms) as latency_ms, bool_or(h.probe and h.outcome = 'delivered') as probe_passed,
      bool_or(h.probe and h.outcome in ('failed', 'gone') and not h.refused) as probe_failed, bool_or(h.probe) as probed
    from held h group by h.tenant_id, h.subscription_id
  ), counted as materialized (
    select n.*, t.delivered, t.failed, t.failed - t.refused as broken, t.refused, t.pause_ms, t.latency_ms, t.gone, t.crowded, t.probe_passed, t.probe_failed, t.probed,
      s.max_in_flight, s.enabled, s.disable_after_failures, s.disable_after,
      case when t.delivered > 0 then 0 else n.failure_count + t.failed end as new_count,
      case when t.delivered > 0 then null when t.failed > 0 then coalesce(n.failing_since, clock_timestamp()) else n.failing_since end as new_since,
      n.failure_share * power(0.9, t.delivered + t.down) + 1 - power(0.9, t.down) as new_share,
      plinth_webhooks.lane_rate(n.rate, n.rate_ceiling, n.limited_at, clock_timestamp()) as rate_now,
      -- Attempts that had begun before the last 429 or 503 tell nothing new.
      t.age_ms is not null and coalesce(clock_timestamp() - t.age_ms * interval '1 millisecond' > n.limited_at, true) as limits
    from tally t
    join plinth_webhooks.lanes n on n.tenant_id = t.tenant_id and n.subscription_id = t.subscription_id and (t.failed > 0 or t.probed or n.troubled)
    join plinth_webhooks.subscriptions s on s.tenant_id = t.tenant_id and s.id = t.subscription_id
  ), paced as materialized (
    select c.*, r.new_rate, p.new_pause, case when c.pause_ms > 0 then clock_timestamp() + least(c.pause_ms, 86400000) * interval '1 millisecond'
        when c.limits then clock_timestamp() + p.new_pause * (0.9 + 0.2 * random()) * interval '1 second' end as pause
    from counted c
    cross join lateral (select case when c.limits and c.refused > 0 then plinth_webhooks.cut_rate(c.rate_now, c.rate_done, extract(epoch from clock_timestamp() - c.limited_at), (
        select count(*)::integer from plinth_webhooks.flights f where f.tenant_id = c.tenant_id and f.subscription_id = c.subscription_id and f.lease_until > clock_timestamp()), c.latency_ms)
      when c.rate_now is null or c.limits then c.rate_now else c.rate end as new_rate) r
    cross join lateral (select case when c.limits and coalesce(c.pause_ms, 0) <= 0 then case when c.delivered > 0 then 1 else least(60, greatest(1, 2 * c.pause_seconds)) end
      when c.delivered > 0 then 0 else c.pause_seconds end as new_pause) p
  ), judged as materialized (
    select c.*,
      case when c.breaker = 'closed' and c.broken > 0 and (c.delivered = 0 and c.new_count >= 5 or c.new_share >= 0.6) then 'open'
        when c.breaker = 'half_open' and c.probe_passed then 'closed'
        when c.breaker = 'half_open' and c.probed then 'open'
        else c.breaker end as new_breaker,
      case
        when not c.enabled then null
        when c.gone then 'the receiver answered 410 Gone'
        when c.failed > 0 and c.new_count >= c.disable_after_failures and c.new_since <= clock_timestamp() - c.disable_after
          then 'every attempt failed since ' || to_char(c.new_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
      end as disable_reason,
      -- Being disabled takes both, so the nearer of the two is how far it is.
      case when c.new_since is null then 0 else least(c.new_count::double precision / c.disable_after_failures,
        extract(epoch from clock_timestamp() - c.new_since)::double precision / greatest(extract(epoch from c.disable_after), 1)) end as doom
    from paced c
  ), moved as (
    update plinth_webhooks.lanes n
    set failure_count = j.new_count, failing_since = j.new_since, breaker = j.new_breaker,
      failure_share = case when j.new_breaker = 'closed' and j.breaker <> 'closed' or j.new_share < 0.05 then 0 else j.new_share end,
      trips = case when j.new_breaker = 'closed' then 0 when j.new_breaker = 'open' and (j.breaker = 'closed' or j.probe_failed) then j.trips + 1 else j.trips end,
      next_at = case
        when j.new_breaker = 'closed' then case when j.breaker = 'closed' then greatest(j.next_at, j.pause) end
        when j.new_breaker = 'open' and (j.breaker = 'closed' or j.probe_failed)
          then greatest(clock_timestamp() + least(600, 30 * power(2, least(j.trips, 10))) * (0.9 + 0.2 * random()) * interval '1 second', j.pause)
        -- A probe that was called back or answered 429, or an attempt from before that came through: look again at once, or after the pause.
        when j.new_breaker = 'open' and (j.probed or j.delivered > 0) then greatest(clock_timestamp(), j.pause)
        else j.next_at end,
      window_size = case
        when j.new_breaker = 'closed' and j.breaker <> 'closed' then nullif(1, j.max_in_flight)
        when j.crowded then greatest(1, coalesce(j.window_size, j.max_in_flight) / 2)
        when (j.window_done + j.delivered) >= j.window_size then case when j.window_size + 1 < j.max_in_flight then j.window_size + 1 end
        else j.window_size end,
      window_done = case when j.crowded or j.new_breaker <> j.breaker or (j.window_done + j.delivered) >= j.window_size then 0 else j.window_done + j.delivered end,
      rate = j.new_rate, rate_ceiling = case when j.limits and j.refused > 0 then coalesce(j.rate_now, 2 * j.new_rate) else j.rate_ceiling end,
      rate_done = case when j.limits then 0 else j.rate_done + j.delivered end, limited_at = case when j.limits then clock_timestamp() else j.limited_at end,
      pause_seconds = j.new_pause,
      -- After the pause one goes first, and the rest at the rate.
      tokens = case when j.limits and j.new_rate is not null then 1 else j.tokens end, refilled_at = case when j.limits and j.new_rate is not null then j.pause else j.refilled_at end,
      warned = case when j.disable_reason is not null then 100 when j.new_since is null then 0
        else greatest(j.warned, case when not j.enabled then 0 when j.doom >= 0.9 then 90 when j.doom >= 0.7 then 70 when j.doom >= 0.5 then 50 else 0 end) end,
      told = case when j.new_since is null and j.disable_reason is null then 0 else j.told end
    from judged j where n.tenant_id = j.tenant_id and n.subscription_id = j.subscription_id
    returning n.warned <> n.told as to_tell
  ), doomed as materialized (
    -- Held by settle, which has looked whether this may come. Where it came in between, the next failure disables.
    select s.tenant_id, s.id, j.disable_reason from judged j cross join lateral (
      select s.tenant_id, s.id from plinth_webhooks.subscriptions s where s.tenant_id = j.tenant_id and s.id = j.subscription_id and s.enabled limit 1 for no key update skip locked) s
    where j.disable_reason is not null
  ), disabled as (
    update plinth_webhooks.subscriptions s set enabled = false, disabled_at = clock_timestamp(), disabled_reason = d.disable_reason, updated_at = clock_timestamp()
    from doomed d where s.tenant_id = d.tenant_id and s.id = d.id
  ), stayed as (
    update plinth_webhooks.deliveries d
    set status = case when not h.dead then 'pending' when h.lane_key is not null and h.poison = 'block' then 'blocked' else 'failed' end,
      finished_at = case when h.dead and not (h.lane_key is not null and h.poison = 'block') then clock_timestamp() end,
      attempts = h.attempt, step = h.step + case when h.probe or h.refused then 0 else 1 end, give_up_at = h.give_up_at,
      due_at = case
        -- It may not be the first of where it is now: settle sees to it that the next claim looks.
        when h.dead or h.reordered then 'infinity'
        -- The probe of a parallel lane goes behind the others, so that one bad delivery cannot fail every probe.
        when h.probe then case when h.lane_key is null then clock_timestamp() else h.due_at end
        else clock_timestamp() + greatest(case when h.refused then interval '1 second' else h.delay end, case when h.retry_after_ms > 0 then least(h.retry_after_ms, 86400000) * interval '1 millisecond' end) end,
      -- What was put ahead goes back to its place.
      seq = case when d.seq < 0 then d.seq + 4611686018427387904 else d.seq end,
      last_error = coalesce(h.error_message, d.last_error), last_response_code = h.response_code
    from held h where h.outcome in ('failed', 'gone') and d.tenant_id = h.tenant_id and d.id = h.id and d.status = 'pending'
  )
  select coalesce(bool_or(m.to_tell), false) into _to_tell from moved m;
  return _to_tell;
end
$$;
comment on function plinth_webhooks.judge(jsonb, uuid[]) is
  'What results, as settle takes them, mean for lanes and for deliveries that were not delivered; deliveries in p_busy are left out. True when a tenant is to be told that a subscription fails.';
