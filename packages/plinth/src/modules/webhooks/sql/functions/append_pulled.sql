-- Moves what waits for pulled subscriptions into their lanes, in the order of the feed. Whoever appends holds the row of the lane until COMMIT, so a reader
-- sees positions without gaps, and what the fan-out commits late gets a later position instead of being missed. The order of a key holds because
-- its deliveries are made by transactions that follow each other: when one can be seen, so can those before it. What a tenant's open transaction holds is
-- not waited for, because the lanes of others would wait as well: of its lane, what is before goes on. Each tenant's first lane comes before any other's second,
-- by chance among the lanes of one, so that a tenant with many that are never empty keeps nobody waiting.
create or replace function plinth_webhooks.append_pulled(p_limit integer default 1000, p_lanes integer default 100) returns table (tenant_id uuid, subscription_id uuid, appended integer)
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  _lane record;
  _appended integer;
begin
  for _lane in
    with waiting as materialized (
      select s.tenant_id, s.id, row_number() over (partition by s.tenant_id order by random()) as turn from plinth_webhooks.subscriptions s
      where s.mode = 'pull' and s.enabled
        and (exists (select from plinth_webhooks.deliveries d where d.tenant_id = s.tenant_id and d.subscription_id = s.id and d.lane_key = '' and d.status <> 'failed')
          or exists (select from plinth_webhooks.deliveries d where d.tenant_id = s.tenant_id and d.subscription_id = s.id and d.due_at < 'infinity'))
        -- Sent a moment ago, when it was pushed: it ends there or here, not in both.
        and not exists (select from plinth_webhooks.flights f where f.tenant_id = s.tenant_id and f.subscription_id = s.id and f.lease_until > clock_timestamp())
    ), in_turn as materialized (
      select w.tenant_id, w.id from waiting w order by w.turn, random()
    )
    select n.tenant_id, n.subscription_id, n.tail from in_turn w cross join lateral (
      select n.* from plinth_webhooks.pull_lanes n where n.tenant_id = w.tenant_id and n.subscription_id = w.id limit 1 for no key update skip locked) n
    limit p_lanes
  loop
    with next as materialized (
      select w.id, w.seq from (
        (select d.id, d.seq from plinth_webhooks.deliveries d
         where d.tenant_id = _lane.tenant_id and d.subscription_id = _lane.subscription_id and d.lane_key = '' and d.status <> 'failed' order by d.lane_key, d.seq limit p_limit)
        union
        (select d.id, d.seq from plinth_webhooks.deliveries d
         where d.tenant_id = _lane.tenant_id and d.subscription_id = _lane.subscription_id and d.due_at < 'infinity' order by d.due_at limit 100)) w
      order by w.seq limit p_limit
    ), held as materialized (
      select h.id from next n cross join lateral (
        select d.id from plinth_webhooks.deliveries d where d.tenant_id = _lane.tenant_id and d.id = n.id limit 1 for update skip locked) h
    ), taken as (
      delete from plinth_webhooks.deliveries d
      using (select n.id from next n where n.seq < coalesce((select min(x.seq) from next x where x.id not in (select h.id from held h)), 9223372036854775807)) n
      where d.tenant_id = _lane.tenant_id and d.id = n.id
      returning d.id, d.event_id, d.event_type, d.body, d.format, d.correlation_id, d.causation_id, d.seq
    ), written as (
      insert into plinth_webhooks.pulled_messages (tenant_id, subscription_id, position, delivery_id, event_id, event_type, body, correlation_id, causation_id)
      select _lane.tenant_id, _lane.subscription_id, _lane.tail + row_number() over (order by t.seq), t.id, t.event_id, t.event_type,
        -- One that was to be sent as cloudevents-binary before the subscription was changed.
        case when t.format = 'cloudevents-binary' then plinth_webhooks.cloud_body('cloudevents-structured', split_part(t.body, chr(10), 1)::jsonb, plinth_webhooks.sent_body(t.format, t.body)) else t.body end,
        t.correlation_id, t.causation_id from taken t
      returning 1
    )
    select count(*) into _appended from written;
    update plinth_webhooks.pull_lanes n set tail = n.tail + _appended where n.tenant_id = _lane.tenant_id and n.subscription_id = _lane.subscription_id and _appended > 0;
    if _appended > 0 then
      return query select _lane.tenant_id, _lane.subscription_id, _appended;
    end if;
  end loop;
end
$$;
comment on function plinth_webhooks.append_pulled(integer, integer) is 'Appends what waits for pulled subscriptions to p_lanes of their lanes, at most p_limit messages each; returns where, and how many.';
