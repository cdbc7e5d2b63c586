-- Ends attempts, set-based: [{tenant_id, id, subscription_id, lane_key, lease_id, outcome, ...}]. A row counts only under the lease that it was claimed with.
--   delivered -> the delivery leaves, a failing lane recovers
--   failed    -> due again by the schedule, not before retry_after_ms; given up when it is permanent or the schedule is over
--   gone      -> (410) given up, and the subscription is disabled at once
--   returned  -> may be taken again at once, as if it had not been claimed; nothing is logged
-- Lanes are written only where something failed or a failing one recovers; ordered lanes are locked, because the next of the key is made due.
-- Lanes that somebody else holds are not waited for: their rows come back as busy, to be settled again.
create or replace function plinth_webhooks.settle(p_rows jsonb)
returns table (delivery_id uuid, status text, to_tell boolean)
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  _ordered boolean;
  _busy uuid[];
begin
  with asked as materialized (
    select g.tenant_id, g.subscription_id, bool_or(g.outcome <> 'delivered') as trouble, bool_or(g.lane_key is not null) as ordered
    from jsonb_to_recordset(p_rows) as g (tenant_id uuid, subscription_id uuid, outcome text, lane_key text) group by g.tenant_id, g.subscription_id
  ), needed as materialized (
    select n.tenant_id, n.subscription_id, a.ordered from asked a
    join plinth_webhooks.lanes n on n.tenant_id = a.tenant_id and n.subscription_id = a.subscription_id and (a.trouble or a.ordered or n.troubled)
  ), held as materialized (
    select n.subscription_id from plinth_webhooks.lanes n join needed d on d.tenant_id = n.tenant_id and d.subscription_id = n.subscription_id
    order by n.tenant_id, n.subscription_id for no key update of n skip locked
  )
  select coalesce(bool_or(d.ordered), false), coalesce(array_agg(d.subscription_id) filter (where d.subscription_id not in (select h.subscription_id from held h)), '{}')
  into _ordered, _busy from needed d;

  return query
  with given as materialized (
    select g.*, random() as jitter from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, subscription_id uuid, lease_id uuid, outcome text, permanent boolean,
      retry_after_ms double precision, age_ms double precision, url text, response_code integer, response_time_ms integer, error_code text, error_message text, request_headers jsonb,
      response_headers jsonb, response_body text, timings jsonb)
  ), landed as (
    delete from plinth_webhooks.flights f using given g
    where f.tenant_id = g.tenant_id and f.subscription_id = g.subscription_id and f.delivery_id = g.id and f.lease_id = g.lease_id and g.subscription_id <> all (_busy)
    returning f.attempt, f.probe, g.*
  ), held as materialized (
    select d.subscription_id, d.event_id, d.event_type, d.body, d.format, d.correlation_id, d.lane_key, d.step, d.due_at, s.poison, s.enabled, l.attempt, l.probe,
      l.tenant_id, l.id, l.outcome, l.retry_after_ms, l.age_ms, l.url, l.response_code, l.response_time_ms, l.error_code, l.error_message, l.request_headers,
      l.response_headers, l.response_body, l.timings, p.delay,
      case when l.outcome in ('failed', 'gone') then coalesce(d.give_up_at, clock_timestamp() + (1.2 * coalesce((select sum(x) from unnest(q.seconds) x), 0)) * interval '1 second') end as give_up_at,
      l.outcome = 'gone' or (l.outcome = 'failed' and (coalesce(l.permanent, false) or coalesce(d.give_up_at <= clock_timestamp(), false)
        or case when l.probe then cardinality(q.seconds) = 0 else p.delay is null end)) as dead
    from landed l
    join plinth_webhooks.deliveries d on d.tenant_id = l.tenant_id and d.id = l.id
    join plinth_webhooks.subscriptions s on s.tenant_id = d.tenant_id and s.id = d.subscription_id
    cross join lateral (select plinth_webhooks.retry_seconds(s.retry_schedule, s.retry_seconds) as seconds) q
    cross join lateral (select q.seconds[d.step + 1] * (0.8 + 0.4 * l.jitter) * interval '1 second' as delay) p
  ), tally as materialized (
    select h.tenant_id, h.subscription_id, count(*) filter (where h.outcome = 'delivered')::integer as delivered,
      count(*) filter (where h.outcome in ('failed', 'gone'))::integer as failed,
      count(*) filter (where h.outcome = 'failed' and (h.response_code is null or h.response_code >= 500 or h.response_code in (408, 429)))::integer as down,
      bool_or(h.outcome = 'gone') as gone, bool_or(h.outcome = 'failed' and (h.response_code in (429, 503) or h.error_code = 'egress_timeout')) as crowded,
      max(h.retry_after_ms) filter (where h.response_code in (429, 503)) as pause_ms,
      bool_or(h.probe and h.outcome = 'delivered') as probe_passed, bool_or(h.probe and h.outcome in ('failed', 'gone')) as probe_failed, bool_or(h.probe) as probed
    from held h group by h.tenant_id, h.subscription_id
  ), counted as materialized (
    select n.*, t.delivered, t.failed, t.gone, t.crowded, t.probe_passed, t.probe_failed, t.probed, s.max_in_flight, s.enabled, s.disable_after_failures, s.disable_after,
      case when t.delivered > 0 then 0 else n.failure_count + t.failed end as new_count,
      case when t.delivered > 0 then null when t.failed > 0 then coalesce(n.failing_since, clock_timestamp()) else n.failing_since end as new_since,
      n.failure_share * power(0.9, t.delivered + t.down) + 1 - power(0.9, t.down) as new_share,
      case when t.pause_ms > 0 then clock_timestamp() + least(t.pause_ms, 86400000) * interval '1 millisecond' end as pause
    from tally t
    join plinth_webhooks.lanes n on n.tenant_id = t.tenant_id and n.subscription_id = t.subscription_id and (t.failed > 0 or t.probed or n.troubled)
    join plinth_webhooks.subscriptions s on s.tenant_id = t.tenant_id and s.id = t.subscription_id
  ), judged as materialized (
    select c.*,
      case when c.breaker = 'closed' and c.failed > 0 and (c.delivered = 0 and c.new_count >= 5 or c.new_share >= 0.6) then 'open'
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
    from counted c
  ), moved as (
    update plinth_webhooks.lanes n
    set failure_count = j.new_count, failing_since = j.new_since, breaker = j.new_breaker,
      failure_share = case when j.new_breaker = 'closed' and j.breaker <> 'closed' or j.new_share < 0.05 then 0 else j.new_share end,
      trips = case when j.new_breaker = 'closed' then 0 when j.new_breaker = 'open' and (j.breaker = 'closed' or j.probe_failed) then j.trips + 1 else j.trips end,
      next_at = case
        when j.new_breaker = 'closed' then case when j.breaker = 'closed' then greatest(j.next_at, j.pause) end
        when j.new_breaker = 'open' and (j.breaker = 'closed' or j.probe_failed)
          then greatest(clock_timestamp() + least(600, 30 * power(2, least(j.trips, 10))) * (0.9 + 0.2 * random()) * interval '1 second', j.pause)
        -- A probe that was called back, or an attempt from before that came through: look again at once.
        when j.new_breaker = 'open' and (j.probed or j.delivered > 0) then clock_timestamp()
        else j.next_at end,
      window_size = case
        when j.new_breaker = 'closed' and j.breaker <> 'closed' then nullif(1, j.max_in_flight)
        when j.crowded then greatest(1, coalesce(j.window_size, j.max_in_flight) / 2)
        when (j.window_done + j.delivered) >= j.window_size then case when j.window_size + 1 < j.max_in_flight then j.window_size + 1 end
        else j.window_size end,
      window_done = case when j.crowded or j.new_breaker <> j.breaker or (j.window_done + j.delivered) >= j.window_size then 0 else j.window_done + j.delivered end,
      warned = case when j.disable_reason is not null then 100 when j.new_since is null then 0
        else greatest(j.warned, case when not j.enabled then 0 when j.doom >= 0.9 then 90 when j.doom >= 0.7 then 70 when j.doom >= 0.5 then 50 else 0 end) end,
      told = case when j.new_since is null and j.disable_reason is null then 0 else j.told end
    from judged j where n.tenant_id = j.tenant_id and n.subscription_id = j.subscription_id
    returning n.warned <> n.told as to_tell
  ), disabled as (
    update plinth_webhooks.subscriptions s set enabled = false, disabled_at = clock_timestamp(), disabled_reason = j.disable_reason, updated_at = clock_timestamp()
    from judged j where j.disable_reason is not null and s.tenant_id = j.tenant_id and s.id = j.subscription_id and s.enabled
  ), left_queue as (
    delete from plinth_webhooks.deliveries d using held h where h.outcome = 'delivered' and d.tenant_id = h.tenant_id and d.id = h.id
  ), stayed as (
    update plinth_webhooks.deliveries d
    set status = case when not h.dead then 'pending' when h.lane_key is not null and h.poison = 'block' then 'blocked' else 'failed' end,
      finished_at = case when h.dead and not (h.lane_key is not null and h.poison = 'block') then clock_timestamp() end,
      attempts = h.attempt, step = h.step + case when h.probe then 0 else 1 end, give_up_at = h.give_up_at,
      due_at = case
        when h.dead then 'infinity'
        -- The probe of a parallel lane goes behind the others, so that one bad delivery cannot fail every probe.
        when h.probe then case when h.lane_key is null then clock_timestamp() else h.due_at end
        else clock_timestamp() + greatest(h.delay, case when h.retry_after_ms > 0 then least(h.retry_after_ms, 86400000) * interval '1 millisecond' end) end,
      last_error = coalesce(h.error_message, d.last_error), last_response_code = h.response_code
    from held h where h.outcome in ('failed', 'gone') and d.tenant_id = h.tenant_id and d.id = h.id
  ), logged as (
    insert into plinth_webhooks.attempts (tenant_id, delivery_id, subscription_id, event_id, event_type, attempt, status, attempted_at, url, response_code, response_time_ms,
      error_code, error_message, request_headers, request_body, response_headers, response_body, timings, correlation_id, causation_id)
    select h.tenant_id, h.id, h.subscription_id, h.event_id, h.event_type, h.attempt, case when h.outcome = 'delivered' then 'delivered' else 'failed' end,
      clock_timestamp() - coalesce(h.age_ms, 0) * interval '1 millisecond', h.url, h.response_code, h.response_time_ms, h.error_code, h.error_message, h.request_headers,
      left(plinth_webhooks.sent_body(h.format, h.body), 16384), h.response_headers, h.response_body, h.timings, h.correlation_id, h.event_id
    from held h where h.outcome <> 'returned'
  )
  select h.id, case when h.outcome = 'delivered' then 'delivered' when not h.dead then 'pending' when h.lane_key is not null and h.poison = 'block' then 'blocked' else 'failed' end, null::boolean
  from held h
  union all
  select g.id, 'busy', null from given g where g.subscription_id = any (_busy)
  union all
  select null, null, true where exists (select from moved m where m.to_tell);

  if _ordered then
    perform plinth_webhooks.promote(k.tenant_id, k.subscription_id, k.lane_key)
    from (select distinct g.tenant_id, g.subscription_id, g.lane_key from jsonb_to_recordset(p_rows) as g (tenant_id uuid, subscription_id uuid, lane_key text)
      where g.lane_key is not null and g.subscription_id <> all (_busy)) k;
  end if;
end
$$;
comment on function plinth_webhooks.settle(jsonb) is
  'Ends attempts, [{tenant_id, id, subscription_id, lane_key, lease_id, outcome: delivered | failed | gone | returned, permanent, retry_after_ms, age_ms, ...what the log shows}]. Returns a row for each that was accepted, with its new status, or busy when it has to be asked again; and one without id when a tenant is to be told that a subscription fails.';
