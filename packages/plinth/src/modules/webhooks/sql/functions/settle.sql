-- Ends attempts, set-based: [{tenant_id, id, subscription_id, lane_key, lease_id, outcome, ...}]. A row counts only under the lease that it was claimed with.
--   delivered -> the delivery leaves, a failing lane recovers
--   failed    -> due again by the schedule, not before retry_after_ms; given up when it is permanent or the schedule is over
--   gone      -> (410) given up, and the subscription is disabled at once
--   returned  -> may be taken again at once, as if it had not been claimed; nothing is logged
-- The delivery may be gone, with its subscription: it comes back as deleted, for log_attempt.
-- Lanes are written only where something failed or a failing one recovers (judge); ordered lanes are locked, because the next of the key is made due.
-- Nothing that a tenant's transaction may hold is waited for, be it a lane, a delivery, or a subscription that is to be disabled: results of others would
-- wait as well. Such rows come back as busy, to be settled again. Nearly always everything was delivered by lanes that are well: then a look at the lanes
-- and one short statement are all.
create or replace function plinth_webhooks.settle(p_rows jsonb)
returns table (delivery_id uuid, status text, to_tell boolean)
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  _trouble boolean;
  _ordered boolean;
  _busy uuid[];
  _locked uuid[];
  _ids uuid[];
  _ends text[];
  _deleted uuid[];
  _elsewhere jsonb;
  _flights tid[];
  _delivered tid[];
begin
  with given as materialized (
    select * from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, subscription_id uuid, outcome text, lane_key text)
  ), asked as materialized (
    select g.tenant_id, g.subscription_id, bool_or(g.outcome <> 'delivered') as trouble, bool_or(g.lane_key is not null) as ordered,
      bool_or(g.outcome = 'gone') as gone, count(*) filter (where g.outcome in ('failed', 'gone')) as failed
    from given g group by g.tenant_id, g.subscription_id
  ), needed as materialized (
    select a.tenant_id, a.subscription_id, a.ordered, a.trouble or n.troubled as trouble, a.gone or a.failed > 0 and exists (
        select from plinth_webhooks.subscriptions s where s.tenant_id = a.tenant_id and s.id = a.subscription_id and s.enabled
          and n.failure_count + a.failed >= s.disable_after_failures and coalesce(n.failing_since, clock_timestamp()) <= clock_timestamp() - s.disable_after) as disables
    from asked a
    cross join lateral (select n.troubled, n.failure_count, n.failing_since from plinth_webhooks.lanes n where n.tenant_id = a.tenant_id and n.subscription_id = a.subscription_id limit 1) n
    where a.trouble or a.ordered or n.troubled
  ), held as materialized (
    select n.subscription_id from needed d cross join lateral (
      select n.subscription_id from plinth_webhooks.lanes n where n.tenant_id = d.tenant_id and n.subscription_id = d.subscription_id limit 1 for no key update skip locked) n
  ), held_to_disable as materialized (
    select s.id from needed d cross join lateral (
      select s.id from plinth_webhooks.subscriptions s where s.tenant_id = d.tenant_id and s.id = d.subscription_id limit 1 for no key update skip locked) s
    where d.disables
  ), busy as materialized (
    select d.subscription_id from needed d
    where d.subscription_id not in (select h.subscription_id from held h) or d.disables and d.subscription_id not in (select h.id from held_to_disable h)
  )
  select coalesce(bool_or(d.trouble), false), coalesce(bool_or(d.ordered), false),
    coalesce((select array_agg(g.id) from given g where g.subscription_id in (select b.subscription_id from busy b)), '{}')
  into _trouble, _ordered, _busy from needed d;

  if _trouble then
    -- What is judged is ended below: the two must agree on what somebody else holds.
    with given as materialized (
      select g.tenant_id, g.id from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid) where g.id <> all (_busy)
    ), held as materialized (
      select d.id from given g cross join lateral (
        select d.id from plinth_webhooks.deliveries d where d.tenant_id = g.tenant_id and d.id = g.id limit 1 for update skip locked) d
    )
    select _busy || coalesce(array_agg(g.id), '{}') into _busy from given g
    where g.id not in (select h.id from held h) and exists (select from plinth_webhooks.deliveries d where d.tenant_id = g.tenant_id and d.id = g.id);
    if plinth_webhooks.judge(p_rows, _busy) then
      return query select null::uuid, null::text, true;
    end if;
  end if;

  -- Looked up one by one and deleted by their place: a join would begin with the tables whenever they were last analyzed while nothing waited.
  with given as materialized (
    select * from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, subscription_id uuid, lease_id uuid, outcome text, lane_key text,
      age_ms double precision, url text, response_code integer, response_time_ms integer, error_code text, error_message text, request_headers jsonb,
      response_headers jsonb, response_body text, timings jsonb)
  ), landed as materialized (
    select g.*, f.place, f.attempt from given g cross join lateral (
      select f.ctid as place, f.attempt from plinth_webhooks.flights f
      where f.tenant_id = g.tenant_id and f.subscription_id = g.subscription_id and f.delivery_id = g.id and f.lease_id = g.lease_id limit 1 for update) f
    where g.id <> all (_busy)
  ), ended as materialized (
    select l.*, d.place as queued_at, d.status as now, d.lane_key as key_now, d.event_id, d.event_type, d.body, d.format, d.correlation_id from landed l cross join lateral (
      select d.ctid as place, d.status, d.lane_key, d.event_id, d.event_type, d.body, d.format, d.correlation_id from plinth_webhooks.deliveries d
      where d.tenant_id = l.tenant_id and d.id = l.id limit 1 for update skip locked) d
  ), missed as materialized (
    -- Locked by somebody else, or gone.
    select l.id, l.place, exists (select from plinth_webhooks.deliveries d where d.tenant_id = l.tenant_id and d.id = l.id) as locked
    from landed l where l.id not in (select e.id from ended e)
  ), logged as (
    insert into plinth_webhooks.attempts (tenant_id, delivery_id, subscription_id, event_id, event_type, attempt, status, attempted_at, url, response_code, response_time_ms,
      error_code, error_message, request_headers, request_body, response_headers, response_body, timings, correlation_id, causation_id)
    select e.tenant_id, e.id, e.subscription_id, e.event_id, e.event_type, e.attempt, case when e.outcome = 'delivered' then 'delivered' else 'failed' end,
      clock_timestamp() - coalesce(e.age_ms, 0) * interval '1 millisecond', e.url, e.response_code, e.response_time_ms, e.error_code, e.error_message, e.request_headers,
      left(plinth_webhooks.sent_body(e.format, e.body), 16384), e.response_headers, e.response_body, e.timings, e.correlation_id, e.event_id
    from ended e where e.outcome <> 'returned'
  )
  select array_agg(e.id), array_agg(case when e.outcome = 'delivered' then 'delivered' else e.now end),
    array_agg(e.place) || (select array_agg(m.place) from missed m where not m.locked), array_agg(e.queued_at) filter (where e.outcome = 'delivered'),
    (select array_agg(m.id) from missed m where not m.locked), (select array_agg(m.id) from missed m where m.locked),
    jsonb_agg(jsonb_build_object('tenant_id', e.tenant_id, 'subscription_id', e.subscription_id, 'lane_key', e.key_now)) filter (where e.key_now is not null and e.key_now is distinct from e.lane_key)
  into _ids, _ends, _flights, _delivered, _deleted, _locked, _elsewhere from ended e;

  perform plinth_webhooks.remove_settled(_flights, _delivered);
  if _elsewhere is not null then
    -- Put in another order while they were under way: the next claim finds the first of where they are now.
    insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key)
    select distinct k.tenant_id, k.subscription_id, k.lane_key from jsonb_to_recordset(_elsewhere) as k (tenant_id uuid, subscription_id uuid, lane_key text);
  end if;
  return query
  select e.id, e.now, null::boolean from unnest(_ids, _ends) as e (id, now)
  union all
  select d.id, 'deleted', null from unnest(_deleted) as d (id)
  union all
  select b.id, 'busy', null from unnest(_busy || _locked) as b (id);

  if _ordered then
    perform plinth_webhooks.promote(k.tenant_id, k.subscription_id, k.lane_key)
    from (select distinct g.tenant_id, g.subscription_id, g.lane_key from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, subscription_id uuid, lane_key text)
      where g.lane_key is not null and g.id <> all (_busy)) k;
  end if;
end
$$;
comment on function plinth_webhooks.settle(jsonb) is
  'Ends attempts, [{tenant_id, id, subscription_id, lane_key, lease_id, outcome: delivered | failed | gone | returned, permanent, retry_after_ms, age_ms, ...what the log shows}]. Returns a row for each that was accepted, with its new status, deleted when there is no such delivery any more, or busy when it has to be asked again; and one without id when a tenant is to be told that a subscription fails.';
