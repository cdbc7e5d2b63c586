-- Ends attempts, set-based: [{tenant_id, id, lease_id, outcome, ...}]. A row counts only under the lease that it was claimed with.
--   delivered -> the delivery leaves, a failing subscription is forgiven
--   failed    -> due again by the schedule, not before retry_after_ms; given up when it is permanent or the schedule is over
--   gone      -> (410) given up, and the subscription is disabled at once
--   returned  -> due again at once, as if it had not been claimed; nothing is logged
-- A subscription that failed often enough for long enough is disabled; what waits for it is parked.
create or replace function plinth_webhooks.settle(p_rows jsonb)
returns table (delivery_id uuid, status text, disabled_tenant_id uuid, disabled_subscription_id uuid, disabled_reason text)
language sql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
  with given as materialized (
    select g.*, random() as jitter from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, lease_id uuid, outcome text, permanent boolean, retry_after_ms double precision,
      age_ms double precision, url text, response_code integer, response_time_ms integer, error_code text, error_message text, request_headers jsonb, request_body text,
      response_headers jsonb, response_body text, timings jsonb)
  ), subscription as materialized (
    -- Only where something may have to be written, and in one order, so that two dispatchers never wait for each other in a circle.
    select s.* from plinth_webhooks.subscriptions s
    join (
      select d.tenant_id, d.subscription_id, bool_or(g.outcome <> 'delivered') as trouble
      from given g join plinth_webhooks.deliveries d on d.tenant_id = g.tenant_id and d.id = g.id group by d.tenant_id, d.subscription_id
    ) t on t.tenant_id = s.tenant_id and t.subscription_id = s.id and (t.trouble or s.failing_since is not null)
    order by s.tenant_id, s.id for no key update of s
  ), held as materialized (
    select d.tenant_id, d.id, d.subscription_id, d.event_id, d.event_type, d.attempts, d.correlation_id, g.outcome, g.retry_after_ms,
      plinth_webhooks.retry_delay(d.attempts, g.jitter) as delay,
      g.outcome = 'gone' or (g.outcome = 'failed' and (coalesce(g.permanent, false) or d.attempts >= 10)) as dead,
      g.age_ms, g.url, g.response_code, g.response_time_ms, g.error_code, g.error_message, g.request_headers, g.request_body, g.response_headers, g.response_body, g.timings
    -- Only what is processing has a lease (processing_is_leased); naming the status here would lure the planner to its index.
    from given g join plinth_webhooks.deliveries d on d.tenant_id = g.tenant_id and d.id = g.id and d.lease_id = g.lease_id
    for update of d
  ), tally as (
    select h.tenant_id, h.subscription_id, bool_or(h.outcome = 'delivered') as delivered, bool_or(h.outcome = 'gone') as gone,
      count(*) filter (where h.outcome in ('failed', 'gone'))::integer as failed
    from held h group by h.tenant_id, h.subscription_id
  ), verdict as materialized (
    select s.tenant_id, s.id, s.enabled, s.failing_since is not null or t.failed > 0 as touched,
      case when t.delivered then 0 else s.failure_count + t.failed end as failure_count,
      case when t.delivered then null when t.failed > 0 then coalesce(s.failing_since, clock_timestamp()) else s.failing_since end as failing_since,
      case
        when not s.enabled then null
        when t.gone then 'the receiver answered 410 Gone'
        when not t.delivered and t.failed > 0 and s.failure_count + t.failed >= s.disable_after_failures and coalesce(s.failing_since, clock_timestamp()) <= clock_timestamp() - s.disable_after
          then 'every attempt failed since ' || to_char(coalesce(s.failing_since, clock_timestamp()) at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
      end as disable_reason
    from tally t join subscription s on s.tenant_id = t.tenant_id and s.id = t.subscription_id
  ), judged as (
    update plinth_webhooks.subscriptions s
    set failure_count = v.failure_count, failing_since = v.failing_since, enabled = s.enabled and v.disable_reason is null,
      disabled_at = case when v.disable_reason is null then s.disabled_at else clock_timestamp() end, disabled_reason = coalesce(v.disable_reason, s.disabled_reason), updated_at = clock_timestamp()
    from verdict v where v.touched and s.tenant_id = v.tenant_id and s.id = v.id
  ), parked as (
    update plinth_webhooks.deliveries d set due_at = 'infinity'
    from verdict v where v.disable_reason is not null and d.tenant_id = v.tenant_id and d.subscription_id = v.id and d.status = 'pending'
  ), left_queue as (
    delete from plinth_webhooks.deliveries d using held h where h.outcome = 'delivered' and d.tenant_id = h.tenant_id and d.id = h.id
  ), stayed as (
    update plinth_webhooks.deliveries d
    set status = case when h.dead then 'failed' else 'pending' end, lease_id = null, finished_at = case when h.dead then clock_timestamp() end,
      attempts = d.attempts - case when h.outcome = 'returned' then 1 else 0 end,
      due_at = case
        when h.dead or not v.enabled or v.disable_reason is not null then 'infinity'
        when h.outcome = 'returned' then clock_timestamp()
        else clock_timestamp() + greatest(h.delay, case when h.retry_after_ms > 0 then least(h.retry_after_ms, 86400000) * interval '1 millisecond' end) end,
      last_error = coalesce(h.error_message, d.last_error), last_response_code = case when h.outcome = 'returned' then d.last_response_code else h.response_code end
    from held h join verdict v on v.tenant_id = h.tenant_id and v.id = h.subscription_id
    where h.outcome <> 'delivered' and d.tenant_id = h.tenant_id and d.id = h.id
  ), logged as (
    insert into plinth_webhooks.attempts (tenant_id, delivery_id, subscription_id, event_id, event_type, attempt, status, attempted_at, url, response_code, response_time_ms,
      error_code, error_message, request_headers, request_body, response_headers, response_body, timings, correlation_id, causation_id)
    select h.tenant_id, h.id, h.subscription_id, h.event_id, h.event_type, h.attempts, case when h.outcome = 'delivered' then 'delivered' else 'failed' end,
      clock_timestamp() - coalesce(h.age_ms, 0) * interval '1 millisecond', h.url, h.response_code, h.response_time_ms, h.error_code, h.error_message, h.request_headers,
      h.request_body, h.response_headers, h.response_body, h.timings, h.correlation_id, h.event_id
    from held h where h.outcome <> 'returned'
  )
  select h.id, case when h.outcome = 'delivered' then 'delivered' when h.dead then 'failed' else 'pending' end, null::uuid, null::uuid, null::text from held h
  union all
  select null, null, v.tenant_id, v.id, v.disable_reason from verdict v where v.disable_reason is not null
$$;
comment on function plinth_webhooks.settle(jsonb) is
  'Ends attempts, [{tenant_id, id, lease_id, outcome: delivered | failed | gone | returned, permanent, retry_after_ms, age_ms, ...what the log shows}]. Returns a row for each that was accepted, with its new status, and one for each subscription that was disabled by it.';
