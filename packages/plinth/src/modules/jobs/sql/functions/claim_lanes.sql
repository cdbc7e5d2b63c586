-- One statement takes from many lanes, in the order given, at most p_quanta[n] of lane n and only after p_after[n] (a hint where the last
-- claim stopped; 0 is always right). Rows that another claim holds are passed over. Planner settings are fixed because these tables
-- fill and empty faster than any statistics follow; without enable_material = off an empty table's plan reads all of it for each row.
-- Places are told in one array, because a row of its own for each that was inserted costs 3 us more, and as completions send them back: as text each is
-- printed, read, printed and read again.
create or replace function plinth_jobs.claim_lanes(p_worker text, p_limit integer, p_kinds text[], p_queues text[], p_priorities smallint[], p_tenants uuid[], p_keys text[], p_after bigint[], p_quanta integer[])
returns table (tenant_id uuid, id uuid, run_id uuid, seq bigint, kind text, name text, queue text, payload jsonb, attempt smallint, max_attempts smallint, priority smallint, concurrency_key text,
  correlation_id uuid, causation_id uuid, run_at timestamptz, deadline timestamptz, started_at timestamptz, claim_id uuid, lane integer, places bytea)
language plpgsql volatile security definer set search_path = ''
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  -- What all ids of a claim have in common is cut from one once; they end with the number (seq) of their job, which spares counting them. That
  -- of the claim ends with zeros, so that whoever has one of its attempts knows it.
  _ids text := left(plinth_kernel.uuid_v7()::text, 27);
  _claim uuid := (_ids || '000000000')::uuid;
  _worker text := coalesce(_tenant::text || ':', '') || p_worker;
  _now timestamptz := clock_timestamp();
begin
  if exists (select from plinth_jobs.limits) or exists (select from plinth_jobs.pauses p where p.ends_at > (select clock_timestamp())) then
    return query select *, null::bytea from plinth_jobs.claim_limited(p_worker, p_limit, p_kinds, p_queues, p_priorities, p_tenants, p_keys, p_after, p_quanta);
    return;
  end if;
  return query
  with picked as materialized (
    select c.slot, c.place, l.lane::integer from unnest(p_queues, p_priorities, p_tenants, p_keys, p_after, p_quanta) with ordinality as l (queue, priority, tenant_id, key, after, quantum, lane),
    lateral (
      select r.slot, r.ctid as place from plinth_jobs.jobs_ready r
      where r.queue = l.queue and r.priority = l.priority and r.tenant_id = l.tenant_id and r.concurrency_key = l.key and r.seq > l.after
        and (p_kinds is null or r.kind = any (p_kinds)) and (_tenant is null or r.tenant_id = _tenant)
      order by r.seq limit l.quantum for update skip locked) c
    limit p_limit
  ), gone as (
    delete from plinth_jobs.jobs_ready r using picked p where r.slot = p.slot and r.ctid = p.place returning r.tenant_id, r.id, r.seq, r.kind, r.name, r.queue, r.priority, r.concurrency_key, r.payload, r.error, r.attempts, r.max_attempts, r.unique_key, r.linked, r.run_at, r.deadline,
      r.actor_type, r.actor_id, r.correlation_id, r.causation_id, r.xact, r.created_at, p.lane, (_ids || to_hex(x'100000000'::bigint + (r.seq & x'ffffffff'::bigint)))::uuid as new_run_id
  ), running as (
    insert into plinth_jobs.jobs_run (tenant_id, id, seq, kind, name, queue, status, priority, concurrency_key, payload, error, attempts, max_attempts, unique_key, linked, run_at, deadline,
      run_id, worker, started_at, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
    select c.tenant_id, c.id, c.seq, c.kind, c.name, c.queue, 'processing', c.priority, c.concurrency_key, c.payload, c.error, c.attempts + 1, c.max_attempts, c.unique_key, c.linked, c.run_at, c.deadline,
      c.new_run_id, _worker, _now, c.actor_type, c.actor_id, c.correlation_id, c.causation_id, c.xact, c.created_at
    from gone c
    returning jobs_run.ctid as place
  ), noted as (
    insert into plinth_jobs.claims (id, worker, tenant_ids, job_ids, created_at, uptime)
    select _claim, _worker, array_agg(c.tenant_id), array_agg(c.id), _now, (select u.id from plinth_jobs.uptime u) from gone c having count(*) > 0
  )
  select c.tenant_id, c.id, c.new_run_id, c.seq, c.kind::text, c.name::text, c.queue::text, c.payload::jsonb, (c.attempts + 1)::smallint, c.max_attempts::smallint, c.priority::smallint, c.concurrency_key::text,
    c.correlation_id, c.causation_id, c.run_at, c.deadline, _now, _claim, c.lane, case when c.seq = (select g.seq from gone g limit 1) then (select pg_catalog.array_send(array_agg(r.place)) from running r) end
  from gone c;
end
$$;
comment on function plinth_jobs.claim_lanes(text, integer, text[], text[], smallint[], uuid[], text[], bigint[], integer[]) is
  'Takes at most p_limit jobs of these lanes for a worker, only of the given kinds (null: all). Each gets a new run_id, the fence that every later call must show; lane: which of these lanes it was in, from 1; places: with the first of them, where the rows of all of them are, in their order, as the binary form of tid[] (plinth_jobs.complete_at). The worker must be registered and send heartbeats.';
