-- A claim whose answer was lost with its connection is committed and known to nobody: its worker lives, so nobody would take it back.
create or replace function plinth_jobs.disown(p_worker text, p_known uuid[]) returns bigint
language plpgsql volatile security definer set search_path = '' set lock_timeout = '50ms'
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _claim record;
  _tenant uuid;
  _given bigint := 0;
  _back bigint;
  _left record;
begin
  perform plinth_kernel.require_worker();
  for _claim in
    select c.id, c.worker, c.tenant_ids, c.job_ids, c.created_at from plinth_jobs.claims c where c.worker = p_worker and c.id <> all (p_known) for update skip locked
  loop
    -- Tenant by tenant: what a transaction of one holds keeps only that one's jobs.
    for _tenant in select distinct t from unnest(_claim.tenant_ids) t loop
      begin
        select count(s.run_id) into _back from plinth_jobs.settle((
          select coalesce(jsonb_agg(jsonb_build_object('tenant_id', j.tenant_id, 'id', j.id, 'run_id', j.run_id, 'outcome', 'returned')), '[]')
          from unnest(_claim.tenant_ids, _claim.job_ids) as g (tenant_id, id) cross join lateral (
            select r.tenant_id, r.id, r.run_id from plinth_jobs.jobs_run r
            where r.tenant_id = g.tenant_id and r.id = g.id and r.status = 'processing' and r.worker = p_worker and r.started_at = _claim.created_at for update skip locked) j
          where g.tenant_id = _tenant)) s;
        _given := _given + _back;
      exception when lock_not_available then
        null;
      end;
    end loop;
    select coalesce(array_agg(r.tenant_id), '{}') as tenant_ids, coalesce(array_agg(r.id), '{}') as job_ids into _left from unnest(_claim.tenant_ids, _claim.job_ids) as g (tenant_id, id)
    join plinth_jobs.jobs_run r on r.tenant_id = g.tenant_id and r.id = g.id and r.status = 'processing' and r.worker = p_worker and r.started_at = _claim.created_at;
    perform plinth_jobs.keep_claim(_claim.id, _left.tenant_ids, _left.job_ids);
  end loop;
  return _given;
end
$$;
comment on function plinth_jobs.disown(text, uuid[]) is 'Gives back, without counting an attempt, the jobs of claims that the worker does not know of (p_known: those it knows). What others have locked stays for the next call. Returns how many.';
