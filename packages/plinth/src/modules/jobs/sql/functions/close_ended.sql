-- The times of run ids, so that one day is looked at and not all.
create or replace function plinth_jobs.close_ended(p_claims uuid[]) returns void
language plpgsql volatile security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _claim record;
begin
  for _claim in
    select c.id, c.tenant_ids, c.job_ids, c.created_at, plinth_kernel.v7_floor(c.created_at - interval '1 minute') as lower_id, plinth_kernel.v7_floor(c.created_at + interval '1 minute') as upper_id
    from plinth_jobs.claims c where c.id = any (p_claims)
  loop
    if not exists (
      select from unnest(_claim.tenant_ids, _claim.job_ids) as g (tenant_id, id) cross join lateral (
        select from plinth_jobs.jobs_run r
        where r.tenant_id = g.tenant_id and r.id = g.id and r.run_id >= _claim.lower_id and r.run_id < _claim.upper_id and r.status = 'processing' and r.started_at = _claim.created_at
        limit 1) r)
    then
      delete from plinth_jobs.claims c where c.id = _claim.id;
    end if;
  end loop;
end
$$;
comment on function plinth_jobs.close_ended(uuid[]) is 'Forgets those of these claims of which no job is running any more, which it looks for.';
