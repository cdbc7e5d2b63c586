-- plinth_jobs.claim_lanes where there are limits or pauses. Each scope is locked, its holds are counted, and no lane may take more than
-- what is left: nobody else adds to the count until this transaction ends. A scope that another claimer has for longer than a moment is
-- left to that one. The claiming statement is that of claim_lanes, and writes holds and rates besides. A generic plan is forced: the cost
-- of an own plan for each number of lanes looked lower, and planning it took 0.5 ms of each claim.
create or replace function plinth_jobs.claim_limited(p_worker text, p_limit integer, p_kinds text[], p_queues text[], p_priorities smallint[], p_tenants uuid[], p_keys text[], p_after bigint[], p_quanta integer[])
returns table (tenant_id uuid, id uuid, run_id uuid, seq bigint, kind text, name text, queue text, payload jsonb, attempt smallint, max_attempts smallint, priority smallint, concurrency_key text,
  correlation_id uuid, causation_id uuid, run_at timestamptz, deadline timestamptz, started_at timestamptz, claim_id uuid, lane integer)
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off set plan_cache_mode = force_generic_plan
as $$
declare
  -- Locks of one call are bounded, since the lock table of the server is; lanes beyond get their turn in another call.
  _most_scopes constant integer := 128;
  _tenant uuid := plinth_kernel.acting_tenant();
  -- What all ids of a claim have in common is cut from one once; they end with the number (seq) of their job, which spares counting them. That
  -- of the claim ends with zeros, so that whoever has one of its attempts knows it.
  _ids text := left(plinth_kernel.uuid_v7()::text, 27);
  _claim uuid := (_ids || '000000000')::uuid;
  _worker text := coalesce(_tenant::text || ':', '') || p_worker;
  _now timestamptz := clock_timestamp();
  _quanta integer[];
  _without jsonb[];
  -- Scopes, each once: name, cap, pace, whether it is locked, how many may start, how many lanes are in it.
  _scopes text[];
  _scope_tenants uuid[];
  _caps integer[];
  _everys double precision[];
  _bursts integer[];
  _locked boolean[];
  _rooms integer[];
  _users integer[];
  -- Lanes in scopes, in order of lanes: the n-th entry says that lane _lanes[n] is in scope _places[n].
  _lanes integer[] := '{}';
  _places integer[];
  -- By lane: where its entries begin and end, and whether one of them is a cap.
  _first integer[] := array_fill(null::integer, array[coalesce(cardinality(p_queues), 0)]);
  _last integer[] := array_fill(null::integer, array[coalesce(cardinality(p_queues), 0)]);
  _capped boolean[] := array_fill(false, array[coalesce(cardinality(p_queues), 0)]);
  _at integer := 1;
  _end integer;
  _lane integer;
  _room integer;
  _shared boolean;
  _waiting integer;
begin
  if coalesce(cardinality(p_queues), 0) = 0 then
    return;
  end if;
  select array_agg(case when p.stopped or l.tenant_id <> _tenant then 0 else l.quantum end order by l.lane), array_agg(p.kinds order by l.lane) into _quanta, _without
  from unnest(p_queues, p_tenants, p_keys, p_quanta) with ordinality as l (queue, tenant_id, key, quantum, lane)
  cross join lateral (
    select bool_or(s.kind is null) as stopped, jsonb_agg(s.kind) filter (where s.kind is not null) as kinds from plinth_jobs.pauses s
    where s.tenant_id in (l.tenant_id, '00000000-0000-0000-0000-000000000000') and s.ends_at > (select clock_timestamp())
      and (s.queue is null or s.queue = l.queue) and (s.concurrency_key is null or s.concurrency_key = l.key)) p;

  with entries as materialized (
    select s.*, min(s.lane) over (partition by s.scope) as first_lane, count(*) over (partition by s.scope) as users
    from plinth_jobs.lane_scopes(p_queues, p_tenants, p_keys) s where _quanta[s.lane] > 0
  ), placed as materialized (
    select e.*, dense_rank() over (order by e.first_lane, e.scope)::integer as place from entries e
  ), scopes as materialized (
    select distinct on (p.place) p.place, p.scope, p.scope_tenant, p.max_running, p.every, p.burst, p.users::integer from placed p where p.place <= _most_scopes order by p.place
  )
  select l.lanes, l.places, s.scopes, s.tenants, s.caps, s.everys, s.bursts, s.users into _lanes, _places, _scopes, _scope_tenants, _caps, _everys, _bursts, _users
  from (select array_agg(p.lane order by p.lane, p.place) as lanes, array_agg(p.place order by p.lane, p.place) as places from placed p) l
  cross join (select array_agg(s.scope order by s.place) as scopes, array_agg(s.scope_tenant order by s.place) as tenants, array_agg(s.max_running order by s.place) as caps,
    array_agg(s.every order by s.place) as everys, array_agg(s.burst order by s.place) as bursts, array_agg(s.users order by s.place) as users from scopes s) s;

  if _scopes is not null then
    if current_setting('transaction_isolation') <> 'read committed' then
      raise exception 'Jobs under a limit are claimed in READ COMMITTED, not in %', upper(current_setting('transaction_isolation'))
        using errcode = 'PL409', detail = '{"code":"jobs_claim_isolation"}', hint = 'Claim in a transaction of its own with the default isolation.';
    end if;
    _locked := array_fill(false, array[cardinality(_scopes)]);
    for _try in 1 .. 4 loop
      for _n in 1 .. cardinality(_scopes) loop
        if not _locked[_n] then
          _locked[_n] := pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended(_scopes[_n], 0));
        end if;
      end loop;
      exit when _try = 4 or true = all (_locked);
      perform pg_catalog.pg_sleep(0.0005);
    end loop;
    -- Before the snapshot of the counts is taken, so that they cannot miss rows that tidy_limits has just moved.
    lock table plinth_jobs.holds, plinth_jobs.rates in row exclusive mode;
    -- The time of the start, after the snapshot: whoever is counted as gone has ended before it.
    select array_agg(case when s.locked then greatest(0, least(
        s.cap - (select count(*) from plinth_jobs.holds h where h.scope = s.scope),
        floor(s.burst - greatest(0, extract(epoch from coalesce(r.idle_at, n.now) - n.now)) / s.every + 1e-6))) else 0 end::integer order by s.place), min(n.now)
    into _rooms, _now
    from (select clock_timestamp() as now offset 0) n cross join unnest(_scopes, _scope_tenants, _caps, _everys, _bursts, _locked) with ordinality as s (scope, tenant_id, cap, every, burst, locked, place)
    -- A scope of which nothing is known is idle. So is one that is busy for longer than this pace could make it: that was another pace, which
    -- somebody has changed. The second is for a clock that was set back.
    left join plinth_jobs.rates r on s.every is not null and r.tenant_id = s.tenant_id and r.scope = s.scope and r.idle_at <= n.now + (s.burst * s.every + 1) * interval '1 second';

    while _at <= cardinality(_lanes) loop
      _lane := _lanes[_at];
      _room := _quanta[_lane];
      _shared := false;
      _end := _at;
      while _lanes[_end] = _lane loop
        _room := least(_room, coalesce(_rooms[_places[_end]], 0));
        _capped[_lane] := _capped[_lane] or _caps[_places[_end]] is not null;
        _end := _end + 1;
      end loop;
      for _n in _at .. _end - 1 loop
        _shared := _shared or (_users[_places[_n]] > 1 and _rooms[_places[_n]] = _room);
      end loop;
      -- What this lane cannot use is left to the next one in the scope.
      if _shared and _room > 0 then
        select count(*) into _waiting from (
          select from plinth_jobs.jobs_ready r
          where r.queue = p_queues[_lane] and r.priority = p_priorities[_lane] and r.tenant_id = p_tenants[_lane] and r.concurrency_key = p_keys[_lane] and r.seq > p_after[_lane]
            and (p_kinds is null or r.kind = any (p_kinds)) and (_without[_lane] is null or not _without[_lane] ? r.kind::text)
          order by r.seq limit _room) w;
        _room := least(_room, _waiting);
      end if;
      for _n in _at .. _end - 1 loop
        _rooms[_places[_n]] := _rooms[_places[_n]] - _room;
      end loop;
      _quanta[_lane] := _room;
      _first[_lane] := _at;
      _last[_lane] := _end - 1;
      _at := _end;
    end loop;
  end if;

  return query
  with picked as materialized (
    select c.slot, c.place, l.lane::integer from unnest(p_queues, p_priorities, p_tenants, p_keys, p_after, _quanta, _without) with ordinality as l (queue, priority, tenant_id, key, after, quantum, without, lane),
    lateral (
      select r.slot, r.ctid as place from plinth_jobs.jobs_ready r
      where r.queue = l.queue and r.priority = l.priority and r.tenant_id = l.tenant_id and r.concurrency_key = l.key and r.seq > l.after
        and (p_kinds is null or r.kind = any (p_kinds)) and (_tenant is null or r.tenant_id = _tenant) and (l.without is null or not l.without ? r.kind::text)
      order by r.seq limit l.quantum for update skip locked) c
    limit p_limit
  ), gone as (
    delete from plinth_jobs.jobs_ready r using picked p where r.slot = p.slot and r.ctid = p.place returning r.tenant_id, r.id, r.seq, r.kind, r.name, r.queue, r.priority, r.concurrency_key, r.payload, r.error, r.attempts, r.max_attempts, r.unique_key, r.linked, r.run_at, r.deadline,
      r.actor_type, r.actor_id, r.correlation_id, r.causation_id, r.xact, r.created_at, p.lane, (_ids || to_hex(x'100000000'::bigint + (r.seq & x'ffffffff'::bigint)))::uuid as new_run_id
  ), running as (
    insert into plinth_jobs.jobs_run (tenant_id, id, seq, kind, name, queue, status, priority, concurrency_key, payload, error, attempts, max_attempts, unique_key, linked, run_at, deadline,
      run_id, worker, started_at, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
    select c.tenant_id, c.id, c.seq, c.kind, c.name, c.queue, 'processing', c.priority, c.concurrency_key, c.payload, c.error, c.attempts + 1, c.max_attempts, c.unique_key, c.linked or _capped[c.lane], c.run_at, c.deadline,
      c.new_run_id, _worker, _now, c.actor_type, c.actor_id, c.correlation_id, c.causation_id, c.xact, c.created_at
    from gone c
  ), noted as (
    insert into plinth_jobs.claims (id, worker, tenant_ids, job_ids, created_at, uptime)
    select _claim, _worker, array_agg(c.tenant_id), array_agg(c.id), _now, (select u.id from plinth_jobs.uptime u) from gone c having count(*) > 0
  ), entered as materialized (
    select c.tenant_id, c.id, c.new_run_id, _places[n.n] as place from gone c cross join lateral generate_series(_first[c.lane], _last[c.lane]) as n
  ), held as (
    insert into plinth_jobs.holds (tenant_id, run_id, scope, job_id)
    select e.tenant_id, e.new_run_id, _scopes[e.place], e.id from entered e where _caps[e.place] is not null
  ), paced as (
    insert into plinth_jobs.rates as r (tenant_id, scope, idle_at, next_at)
    select _scope_tenants[e.place], _scopes[e.place], f.idle_at, f.idle_at - (_bursts[e.place] - 1) * _everys[e.place] * interval '1 second'
    from (select e.place, count(*) as started from entered e where _everys[e.place] is not null group by e.place) e
    cross join lateral (
      select greatest(_now, (select o.idle_at from plinth_jobs.rates o where o.tenant_id = _scope_tenants[e.place] and o.scope = _scopes[e.place]
          and o.idle_at <= _now + (_bursts[e.place] * _everys[e.place] + 1) * interval '1 second'))
        + e.started * _everys[e.place] * interval '1 second' as idle_at) f
    on conflict on constraint rates_pkey do update set idle_at = excluded.idle_at, next_at = excluded.next_at
  )
  select c.tenant_id, c.id, c.new_run_id, c.seq, c.kind::text, c.name::text, c.queue::text, c.payload::jsonb, (c.attempts + 1)::smallint, c.max_attempts::smallint, c.priority::smallint, c.concurrency_key::text,
    c.correlation_id, c.causation_id, c.run_at, c.deadline, _now, _claim, c.lane
  from gone c;
end
$$;
comment on function plinth_jobs.claim_limited(text, integer, text[], text[], smallint[], uuid[], text[], bigint[], integer[]) is
  'plinth_jobs.claim_lanes within caps, rates and pauses. Exact with any number of claimers. Error: jobs_claim_isolation.';
