-- A held snapshot keeps what was promoted in the index, and whoever began at its first entry would walk past all of it each time. Once that has become much, the last
-- minute is looked at, and what is older (it was committed long after its time, or was locked) every ten seconds, by one for all.
create or replace function plinth_jobs.promote(p_limit integer default 1000) returns bigint
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _now timestamptz := clock_timestamp();
  _tenant uuid := plinth_kernel.acting_tenant();
  _much boolean := pg_catalog.pg_relation_size('plinth_jobs.jobs_scheduled_due') > 262144;
  _from timestamptz := '-infinity';
  _promoted bigint := 0;
begin
  if _tenant is null and exists (select from plinth_jobs.gate_checks c where c.due_at <= _now) then
    perform plinth_jobs.check_gates();
  end if;
  if _much and extract(epoch from _now) - (select s.last_value from plinth_jobs.promoted_at s) between 0 and 10 then
    _from := _now - interval '1 minute';
  end if;
  if exists (select from plinth_jobs.jobs_scheduled j where j.run_at >= _from and j.run_at <= _now) then
    with due as materialized (
      select j.ctid as place from plinth_jobs.jobs_scheduled j
      where j.run_at >= _from and j.run_at <= _now and (_tenant is null or j.tenant_id = _tenant) order by j.run_at limit p_limit for update skip locked
    ), gone as (
      delete from plinth_jobs.jobs_scheduled j using due d where j.ctid = d.place returning j.*
    )
    insert into plinth_jobs.jobs_ready (tenant_id, id, kind, name, queue, priority, slot, concurrency_key, payload, max_attempts, unique_key, linked, run_at, deadline, actor_type, actor_id, correlation_id,
      causation_id, xact, created_at, attempts, run_id, error)
    select g.tenant_id, g.id, g.kind, g.name, g.queue, g.priority, (select s.last_value from plinth_jobs.open_slot s), g.concurrency_key, g.payload, g.max_attempts, g.unique_key, g.linked, g.run_at, g.deadline,
      g.actor_type, g.actor_id, g.correlation_id, g.causation_id, g.xact, g.created_at, g.attempts, g.run_id, g.error
    from gone g;
    get diagnostics _promoted = row_count;
  end if;
  if _much and _from = '-infinity' and _tenant is null and _promoted < p_limit then
    -- Not rounded up: a moment to come is that of a clock that was set back.
    perform pg_catalog.setval('plinth_jobs.promoted_at', floor(extract(epoch from _now))::bigint);
  end if;
  return _promoted;
end
$$;
comment on function plinth_jobs.promote(integer) is 'Makes scheduled jobs pending whose time has come, oldest first, at most p_limit, and does the gate checks that are due. Returns how many jobs.';
