-- Runs in the transaction that moves the feed's cursor, so a delivery is made exactly once for an event and a subscription. The key
-- probe costs the matches, not the subscriptions. The payload is read here and not passed through the worker: a number that does
-- not fit a JavaScript number reaches the receiver as it was published. In ordered lanes only the first delivery of a key is due;
-- the lock on the lane keeps that true. A lane that somebody holds is not waited for: the next claim looks at the key (held_back).
create or replace function plinth_webhooks.make_deliveries(p_events jsonb, p_subscription_id uuid default null, p_replay_id uuid default null) returns integer
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_nestloop = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  _held uuid[] := '{}';
  _made integer;
begin
  if exists (select from (select distinct e.tenant_id from jsonb_to_recordset(p_events) as e (tenant_id uuid)) e
      cross join lateral (select from plinth_webhooks.subscriptions s where s.tenant_id = e.tenant_id and s.ordering <> 'parallel' limit 1) s) then
    select coalesce(array_agg(n.subscription_id), '{}') into _held
    from (select distinct e.tenant_id, e.type from jsonb_to_recordset(p_events) as e (tenant_id uuid, type text)) e
    cross join lateral plinth_webhooks.matching(e.tenant_id, e.type) s
    cross join lateral (select n.subscription_id from plinth_webhooks.lanes n where n.tenant_id = s.tenant_id and n.subscription_id = s.id limit 1 for no key update skip locked) n
    where s.ordering <> 'parallel' and (p_subscription_id is null or s.id = p_subscription_id);
  end if;
  -- Types with many events are matched once. Every join is by hash or by a lookup of its own (lateral, limit 1): the planner takes each of these
  -- lists for a row or two, and nested loops over them cost the square of the batch.
  with event as materialized (
    select e.* from jsonb_to_recordset(p_events) as e (tenant_id uuid, id uuid, type text, correlation_id uuid, place integer)
  ), match as materialized (
    select t.tenant_id, t.type, s.id as subscription_id, s.filter_path, s.transform, s.ordering, s.order_key, nullif(s.format, 'standard') as format, plinth_webhooks.transform_weight(s.transform) as weight,
      bool_or(s.filter_path is not null or s.transform is not null or s.format <> 'standard') over same_type as looks, bool_or(s.format <> 'standard') over same_type as clouds
    from (select distinct e.tenant_id, e.type from event e) t
    cross join lateral plinth_webhooks.matching(t.tenant_id, t.type) s
    where p_subscription_id is null or s.id = p_subscription_id
    window same_type as (partition by t.tenant_id, t.type)
  ), body as materialized (
    -- Once for each event. The document only where a filter or transform asks for it: most deliveries carry the body as it is.
    select e.tenant_id, e.id, e.type, e.correlation_id, e.place, p.payload, p.stream, p.text, p.document, p.attributes
    from event e
    join (select distinct m.tenant_id, m.type, m.looks, m.clouds from match m) w on w.tenant_id = e.tenant_id and w.type = e.type
    cross join lateral (
      -- By order, and not by equality, which every index of an empty partition seems to serve as well as the primary key.
      select p.id, p.payload::jsonb as payload, p.aggregate_type || '/' || p.aggregate_id as stream,
        plinth_webhooks.body_of(e.type, coalesce(p.occurred_at, p.created_at), p.payload::jsonb) as text, case when w.looks then plinth_webhooks.document_of(p) end as document,
        case when w.clouds then plinth_webhooks.cloud_attributes(p) end as attributes
      from plinth_events.events p where p.tenant_id = e.tenant_id and p.id >= e.id order by p.id limit 1) p
    where p.id = e.id
  ), overdrawn as materialized (
    -- What goes beyond the work that the transforms of one tenant may take of a batch that it shares with others, a few seconds. Looked at only where there are transforms.
    select w.id, w.subscription_id from (
      select b.id, m.subscription_id, sum(least(67108864, (pg_column_size(b.document) + pg_column_size(m.transform) + 1000)::bigint * m.weight)) over (partition by b.tenant_id order by b.place, m.subscription_id) as work
      from body b join match m on m.tenant_id = b.tenant_id and m.type = b.type
      where m.transform is not null and plinth_webhooks.wants(m.filter_path, b.document)) w
    where w.work > 600000000
  ), placed as materialized (
    select b.tenant_id, b.id, b.type, b.correlation_id, b.place, m.subscription_id, m.format, case
        when m.transform is null and m.format is null then b.text
        when m.transform is null then plinth_webhooks.shape_body(m.format, b.attributes, b.document, null)
        else plinth_webhooks.shape_body(m.format, b.attributes, b.document,
          case when (b.id, m.subscription_id) in (select o.id, o.subscription_id from overdrawn o) then '{"fail": "too_much"}' else m.transform end) end as text,
      case when m.ordering <> 'parallel' then plinth_webhooks.order_key(m.ordering, m.order_key, b.stream, b.payload) end as lane_key
    from body b join match m on m.tenant_id = b.tenant_id and m.type = b.type
    where plinth_webhooks.wants(m.filter_path, b.document)
  ), made as (
    insert into plinth_webhooks.deliveries as d (tenant_id, id, subscription_id, event_id, event_type, body, correlation_id, causation_id, lane_key, format, due_at, replay_id)
    select p.tenant_id, plinth_webhooks.delivery_id(p.subscription_id, p.id), p.subscription_id, p.id, p.type, p.text, p.correlation_id, p.id, p.lane_key, p.format,
      case when p.lane_key is null or (p.subscription_id = any (_held)
          and row_number() over (partition by p.subscription_id, p.lane_key order by p.place) = 1
          and not exists (select from plinth_webhooks.deliveries d
            where d.tenant_id = p.tenant_id and d.subscription_id = p.subscription_id and d.lane_key = p.lane_key and d.status <> 'failed'))
        then clock_timestamp() else 'infinity' end, p_replay_id
    from placed p
    order by p.place, p.subscription_id
    -- Only a replay meets a delivery that is still there: one that was given up begins again, behind what waits; one that waits is left alone.
    on conflict (tenant_id, id) do update
    set status = 'pending', attempts = 0, step = 0, give_up_at = null, finished_at = null, due_at = excluded.due_at, seq = excluded.seq, lane_key = excluded.lane_key, replay_id = excluded.replay_id
    where d.status = 'failed' and p_replay_id is not null
    returning 1
  ), unheld as (
    insert into plinth_webhooks.held_back (tenant_id, subscription_id, lane_key)
    select distinct p.tenant_id, p.subscription_id, p.lane_key from placed p where p.lane_key is not null and p.subscription_id <> all (_held)
  )
  select count(*)::integer into _made from made;
  return _made;
end
$$;
comment on function plinth_webhooks.make_deliveries(jsonb, uuid, uuid) is 'What fan_out does with a batch that nothing in it makes raise: a delivery for every event, [{tenant_id, id, type, correlation_id, place}], and every enabled subscription of its tenant with a pattern that matches and a filter that lets it through; for a replay, of one subscription only. Returns how many.';
