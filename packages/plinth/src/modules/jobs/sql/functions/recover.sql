-- Of any number of callers one takes a worker's claims: the rows are locked. Jobs that have ended meanwhile are no longer processing.
create or replace function plinth_jobs.recover(p_limit integer default 100) returns bigint
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _claim record;
  _taken bigint := 0;
  _lost bigint;
begin
  perform plinth_kernel.require_worker();
  -- A job can be in two claims of one worker, which two callers would lock in different orders; the second has nothing to do anyhow.
  if not pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtextextended('plinth jobs recover', 0)) then
    return 0;
  end if;
  for _claim in
    select c.id, c.worker, c.tenant_ids, c.job_ids from plinth_jobs.claims c where c.worker in (select plinth_jobs.dead_workers())
      or not exists (select from plinth_jobs.workers w where w.id = c.worker) limit p_limit for update skip locked
  loop
    select count(*) into _lost from plinth_jobs.settle((
      select coalesce(jsonb_agg(jsonb_build_object('tenant_id', j.tenant_id, 'id', j.id, 'run_id', j.run_id, 'outcome', 'lost', 'error', 'lease expired')), '[]')
      from unnest(_claim.tenant_ids, _claim.job_ids) as g (tenant_id, id) cross join lateral (
        select r.tenant_id, r.id, r.run_id from plinth_jobs.jobs_run r
        where r.tenant_id = g.tenant_id and r.id = g.id and r.status = 'processing' and r.worker = _claim.worker) j));
    delete from plinth_jobs.claims c where c.id = _claim.id;
    _taken := _taken + _lost;
  end loop;
  delete from plinth_jobs.workers w where w.id in (select plinth_jobs.dead_workers()) and not exists (select from plinth_jobs.claims c where c.worker = w.id);
  return _taken;
end
$$;
comment on function plinth_jobs.recover(integer) is
  'Takes back the jobs of workers that died, at most p_limit claims: counted as an attempt with the error "lease expired", pending again or failed. Returns how many.';
