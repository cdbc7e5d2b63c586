-- A job that another transaction has locked is left: whoever takes back jobs of all tenants waits for none of them.
create or replace function plinth_jobs.take_back(p_worker text, p_tenant_ids uuid[], p_job_ids uuid[], out taken bigint, out failed jsonb, out left_tenant_ids uuid[], out left_job_ids uuid[])
language plpgsql volatile security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _jobs jsonb;
  _given_up uuid[];
begin
  select coalesce(jsonb_agg(jsonb_build_object('tenant_id', j.tenant_id, 'id', j.id, 'run_id', j.run_id, 'kind', j.kind, 'correlation_id', j.correlation_id, 'outcome', 'lost', 'error', 'lease expired')), '[]')
  into _jobs from unnest(p_tenant_ids, p_job_ids) as g (tenant_id, id) cross join lateral (
    select r.tenant_id, r.id, r.run_id, r.kind, r.correlation_id from plinth_jobs.jobs_run r
    where r.tenant_id = g.tenant_id and r.id = g.id and r.status = 'processing' and r.worker = p_worker for update skip locked) j;
  perform plinth_jobs.settle_ended((
    select jsonb_agg(to_jsonb(e)) from unnest(p_tenant_ids, p_job_ids) as g (tenant_id, id) cross join lateral (
      select r.tenant_id, r.id, r.run_id from plinth_jobs.jobs_run r
      where r.tenant_id = g.tenant_id and r.id = g.id and r.status in ('completed', 'cancelled') and r.worker = p_worker and r.linked
      union all
      select f.tenant_id, f.id, f.run_id from plinth_jobs.jobs_failed f where f.tenant_id = g.tenant_id and f.id = g.id and f.worker = p_worker and f.linked) e));
  select count(s.run_id), coalesce(jsonb_agg(s.job) filter (where s.job is not null), '[]'), array_agg(s.run_id) filter (where s.status = 'failed')
  into taken, failed, _given_up from plinth_jobs.settle(_jobs) s;
  if _given_up is not null then
    select failed || jsonb_agg(j.job - 'outcome') into failed from jsonb_array_elements(_jobs) as j (job) where (j.job ->> 'run_id')::uuid = any (_given_up);
  end if;
  select coalesce(array_agg(r.tenant_id), '{}'), coalesce(array_agg(r.id), '{}') into left_tenant_ids, left_job_ids from unnest(p_tenant_ids, p_job_ids) as g (tenant_id, id)
  join plinth_jobs.jobs_run r on r.tenant_id = g.tenant_id and r.id = g.id and r.status = 'processing' and r.worker = p_worker;
end
$$;
comment on function plinth_jobs.take_back(text, uuid[], uuid[]) is
  'Part of plinth_jobs.recover: counts an attempt as lost for those of these jobs that the worker still holds. failed: those that were given up, and those that failed with them; left: those that others have locked.';
