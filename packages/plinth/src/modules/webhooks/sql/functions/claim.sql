-- Goes from subscription to subscription by one index probe each and gives places out in turns: each tenant gets its next place before any
-- other gets two more, and within a tenant each subscription likewise. What is under way counts, so a tenant with many subscriptions or slow
-- receivers has no more places than one that is waiting for some. Claims run one after the other (an advisory lock, a few milliseconds), which makes
-- windows and throttles exact under many dispatchers. Who does not get the lock within two seconds raises, and comes again; nothing that a tenant
-- locks is waited for. A delivery is not written by being claimed.
-- Of a tenant with more subscriptions than p_lanes that have something waiting, a claim looks at so many, and the next goes on from there (claim_turns): looking at
-- all of 50,000 took 1 to 5 s, in which nobody else claimed.
-- Planner settings are fixed because the tables empty and fill faster than their statistics follow: rows of tables are looked up one by one by their
-- key (lateral, limit 1), lists are joined by hash, and nothing is sorted that an index has in order: analyzed while nothing waited, deliveries were
-- otherwise read whole and sorted for every lane (2 to 5 ms a delivery instead of 0.1, until the next analyze).
create or replace function plinth_webhooks.claim(p_limit integer, p_per_subscription integer default 1000, p_lease interval default interval '60 seconds', p_holder uuid default null, p_per_tenant integer default 1000000, p_lanes integer default 1000,
  p_bytes bigint default 1073741824, p_bytes_per_tenant bigint default 1073741824)
returns table (tenant_id uuid, id uuid, lease_id uuid, subscription_id uuid, lane_key text, url text, secrets text[], event_id uuid, event_type text, body text, attempt integer, correlation_id uuid, signing text, format text, reveal boolean)
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_nestloop = off set enable_mergejoin = off set enable_sort = off set enable_incremental_sort = off
set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  _now timestamptz;
  _turns jsonb;
begin
  -- A dispatcher that reads its rows no further (it stands still, the network is gone) must not keep the lock, and no limit of a statement ends a server that
  -- sends: its connection does. Other systems know no such option, and would log each try.
  perform set_config('tcp_user_timeout', '10000', true) where version() like '%linux%';
  perform pg_advisory_xact_lock(7305808869231650915);
  if exists (select from plinth_webhooks.held_back) then
    perform plinth_webhooks.release_held_back();
  end if;
  -- After what was released became due.
  _now := clock_timestamp();
  _turns := (select jsonb_object_agg(t.tenant_id, t.after) from plinth_webhooks.claim_turns t);
  return query
  with recursive walk as (
    (select d.tenant_id, d.subscription_id, d.due_at, 1 as nth from plinth_webhooks.deliveries d where d.due_at < 'infinity' order by d.tenant_id, d.subscription_id, d.due_at limit 1)
    union all
    select n.tenant_id, n.subscription_id, n.due_at, case when n.tenant_id = w.tenant_id then w.nth + 1 else 1 end from walk w cross join lateral (
      select d.tenant_id, d.subscription_id, d.due_at from plinth_webhooks.deliveries d
      where d.due_at < 'infinity' and (d.tenant_id, d.subscription_id) > (w.tenant_id,
        case when w.nth >= p_lanes then 'ffffffff-ffff-ffff-ffff-ffffffffffff' when _turns is null then w.subscription_id else greatest(w.subscription_id, (_turns ->> w.tenant_id::text)::uuid) end)
      order by d.tenant_id, d.subscription_id, d.due_at limit 1) n
  ), turned as (
    insert into plinth_webhooks.claim_turns as t (tenant_id, after) select w.tenant_id, w.subscription_id from walk w where w.nth = p_lanes
    on conflict (tenant_id) do update set after = excluded.after
  ), turned_back as (
    delete from plinth_webhooks.claim_turns t where _turns is not null and not exists (select from walk w where w.tenant_id = t.tenant_id and w.nth = p_lanes)
  ), lane as materialized (
    select w.tenant_id, w.subscription_id, t.rate, r.expired, n.breaker <> 'closed' as probing, case when n.breaker <> 'closed' and s.ordering <> 'parallel' then timestamptz '9999-01-01' else _now end as until, r.running, t.tokens,
      case when n.breaker <> 'closed' then case when r.running = 0 then least(1, floor(t.tokens)::integer) else 0 end
        else least(p_per_subscription, s.max_in_flight, n.window_size, case s.ordering when 'fifo' then 1 end, r.running + floor(t.tokens)::integer) - r.running end::integer as room
    from walk w
    cross join lateral (select n.* from plinth_webhooks.lanes n
      where n.tenant_id = w.tenant_id and n.subscription_id = w.subscription_id and (n.next_at is null or n.next_at <= _now) limit 1) n
    cross join lateral (select s.* from plinth_webhooks.subscriptions s where s.tenant_id = w.tenant_id and s.id = w.subscription_id and s.enabled and s.mode = 'push' limit 1) s
    cross join lateral (select count(*) filter (where f.lease_until > _now)::integer as running, count(*) filter (where f.lease_until <= _now) > 0 as expired from plinth_webhooks.flights f
      where f.tenant_id = w.tenant_id and f.subscription_id = w.subscription_id) r
    -- Most lanes have no rate. A call that is not needed is not made: the planner does not inline these, and they were half of a claim's time.
    cross join lateral (select least(s.rate_per_second, case when n.limited_at is not null then plinth_webhooks.lane_rate(n.rate, n.rate_ceiling, n.limited_at, _now) end) as rate) v
    cross join lateral (select v.rate, case when v.rate is not null then plinth_webhooks.tokens_at(v.rate, n.tokens, n.refilled_at, _now) end as tokens) t
    where w.due_at <= _now or (n.breaker <> 'closed' and s.ordering <> 'parallel')
  ), tenant as materialized (
    select a.tenant_id, r.running, a.lanes, l.rate is not null as throttled, t.tokens,
      least(p_per_tenant - r.mine, l.max_in_flight - r.running, floor(t.tokens)::integer) as room, p_bytes_per_tenant - r.bytes as bytes_left,
      count(*) over () as tenants, sum(a.lanes) over () as all_lanes
    from (select n.tenant_id, count(*) as lanes from lane n where n.room > 0 group by n.tenant_id) a
    cross join lateral (select min(x.rate_per_second) as rate, min(x.max_in_flight) as max_in_flight from (
      select l.rate_per_second, l.max_in_flight from plinth_webhooks.tenant_limits l where l.tenant_id = a.tenant_id
      union all
      select l.rate_per_second, l.max_in_flight from plinth_webhooks.tenant_limits l where l.tenant_id = '00000000-0000-0000-0000-000000000000'
        and not exists (select from plinth_webhooks.tenant_limits o where o.tenant_id = a.tenant_id and o.source = 'installation')) x) l
    left join lateral (select b.* from plinth_webhooks.tenant_buckets b where b.tenant_id = a.tenant_id limit 1) b on true
    cross join lateral (select count(*)::integer as running, count(*) filter (where f.holder = p_holder)::integer as mine, coalesce(sum(f.bytes) filter (where f.holder = p_holder), 0) as bytes from plinth_webhooks.flights f
      where f.tenant_id = a.tenant_id and f.lease_until > _now) r
    cross join lateral (select plinth_webhooks.tokens_at(l.rate, b.tokens, b.refilled_at, _now) as tokens) t
  ), pick as materialized (
    -- Looks at no more of a lane than its share, or twice that: when others leave places free, the next claim comes at once.
    select n.*, c.id, c.due_at, c.attempts, c.bytes, row_number() over turn as place, sum(c.bytes) over (turn rows unbounded preceding) - c.bytes as bytes_before
    from lane n join tenant t on t.tenant_id = n.tenant_id and t.room > 0
    cross join lateral (
      select w.id, w.due_at, w.attempts, w.bytes, row_number() over (order by w.due_at) as place from (
        select d.id, d.due_at, d.attempts, octet_length(d.body) as bytes from plinth_webhooks.deliveries d
        where d.tenant_id = n.tenant_id and d.subscription_id = n.subscription_id and d.due_at < 'infinity' and d.due_at <= n.until
          and (n.running = 0 or not exists (select from plinth_webhooks.flights f where f.tenant_id = d.tenant_id and f.subscription_id = d.subscription_id and f.delivery_id = d.id and f.lease_until > _now))
        order by d.due_at
        limit least(n.room, greatest(ceil(2.0 * p_limit / t.all_lanes), ceil(p_limit::numeric / t.tenants / t.lanes)))) w) c
    where n.room > 0
    window turn as (partition by n.tenant_id order by n.running + c.place, c.due_at)
  ), chosen as materialized (
    select c.* from (
      select p.*, sum(p.bytes) over (turn rows unbounded preceding) - p.bytes as all_bytes_before from pick p join tenant t on t.tenant_id = p.tenant_id
      where p.place <= t.room and p.bytes_before < t.bytes_left
      window turn as (order by t.running + p.place, p.due_at)
      order by t.running + p.place, p.due_at limit p_limit) c
    where c.all_bytes_before < p_bytes
  ), lane_held as materialized (
    select n.tenant_id, n.subscription_id from plinth_webhooks.lanes n
    join (select distinct c.tenant_id, c.subscription_id from chosen c where c.probing or c.rate is not null) c on c.tenant_id = n.tenant_id and c.subscription_id = n.subscription_id
    where n.next_at is null or n.next_at <= _now
    for no key update of n skip locked
  ), taken_over as materialized (
    -- Its result may be on its way all the same: whoever settles it now holds its lease, and it is gone when that commits.
    select f.delivery_id from chosen c cross join lateral (
      select f.delivery_id from plinth_webhooks.flights f where f.tenant_id = c.tenant_id and f.subscription_id = c.subscription_id and f.delivery_id = c.id limit 1 for update skip locked) f
    where c.expired
  ), cleared as materialized (
    select c.* from chosen c
    where (not c.expired or c.id in (select o.delivery_id from taken_over o)
        or not exists (select from plinth_webhooks.flights f where f.tenant_id = c.tenant_id and f.subscription_id = c.subscription_id and f.delivery_id = c.id))
      and (not c.probing and c.rate is null or exists (select from lane_held h where h.tenant_id = c.tenant_id and h.subscription_id = c.subscription_id))
  ), lane_moved as (
    update plinth_webhooks.lanes n
    set breaker = case n.breaker when 'closed' then 'closed' else 'half_open' end,
      -- Were the prober to die, the end of its lease is when the next probe may start.
      next_at = case when n.breaker = 'closed' then n.next_at else _now + p_lease end,
      tokens = u.tokens - u.used, refilled_at = case when u.tokens is null then n.refilled_at else _now end
    from (select c.tenant_id, c.subscription_id, min(c.tokens) as tokens, count(*) as used from cleared c where c.probing or c.rate is not null group by c.tenant_id, c.subscription_id) u
    where n.tenant_id = u.tenant_id and n.subscription_id = u.subscription_id
  ), tenant_moved as (
    insert into plinth_webhooks.tenant_buckets as b (tenant_id, tokens, refilled_at)
    select t.tenant_id, t.tokens - u.used, _now from tenant t
    join (select c.tenant_id, count(*) as used from cleared c group by c.tenant_id) u on u.tenant_id = t.tenant_id where t.throttled
    on conflict (tenant_id) do update set tokens = excluded.tokens, refilled_at = excluded.refilled_at
  ), taken as (
    insert into plinth_webhooks.flights as f (tenant_id, subscription_id, delivery_id, holder, attempt, probe, lease_until, bytes)
    select c.tenant_id, c.subscription_id, c.id, p_holder, c.attempts + 1, c.probing, _now + p_lease, c.bytes from cleared c
    on conflict (tenant_id, subscription_id, delivery_id)
    do update set lease_id = excluded.lease_id, holder = excluded.holder, attempt = f.attempt + 1, probe = excluded.probe, lease_until = excluded.lease_until
    returning f.tenant_id, f.subscription_id, f.delivery_id, f.lease_id, f.attempt
  )
  select d.tenant_id, d.id, f.lease_id, d.subscription_id, d.lane_key, s.url, s.secrets, d.event_id, d.event_type, d.body, f.attempt, d.correlation_id, s.signing, d.format, s.reveal
  from taken f
  cross join lateral (select d.* from plinth_webhooks.deliveries d where d.tenant_id = f.tenant_id and d.id = f.delivery_id limit 1) d
  cross join lateral (
    -- Nearly all have one secret and no key pair: that is looked up here, because a call costs three times as much.
    select s.url, s.signing, s.reveal, coalesce(case when s.signing not in ('v1a', 'both') then (
        select case when count(*) = 1 then array_agg(a.secret) end from (
          select a.secret from plinth_webhooks.secrets a where a.tenant_id = s.tenant_id and a.subscription_id = s.id limit 2) a) end,
      plinth_webhooks.valid_secrets(s.tenant_id, s.id, s.signing)) as secrets
    from plinth_webhooks.subscriptions s where s.tenant_id = f.tenant_id and s.id = f.subscription_id limit 1) s;
end
$$;
comment on function plinth_webhooks.claim(integer, integer, interval, uuid, integer, integer, bigint, bigint) is
  'Takes at most p_limit deliveries that are due, within the window, order, breaker and throttles of each subscription (p_per_subscription caps the windows) and tenant; p_holder, the dispatcher, has at most p_per_tenant under way for one tenant; p_lanes is how many subscriptions of a tenant are looked at. Nothing is taken behind p_bytes of bodies, nor behind p_bytes_per_tenant of one tenant, with what p_holder has under way for it. Each gets a lease_id, the fence that settle asks for, and may be taken again when p_lease has passed.';
