-- Everything that runs is in a claim, so only these jobs are looked at.
create or replace function plinth_jobs.hold_running() returns void
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _queues text[];
  _tenants uuid[];
  _keys text[];
  _ids uuid[];
  _runs uuid[];
begin
  select array_agg(r.queue), array_agg(r.tenant_id), array_agg(r.concurrency_key), array_agg(r.id), array_agg(r.run_id) into _queues, _tenants, _keys, _ids, _runs
  from plinth_jobs.claims c cross join lateral unnest(c.tenant_ids, c.job_ids) as g (tenant_id, id)
  join plinth_jobs.jobs_run r on r.tenant_id = g.tenant_id and r.id = g.id and r.status = 'processing' and r.worker = c.worker;
  if _runs is null then
    return;
  end if;
  with free as materialized (
    -- A row that is locked is ending at this moment; waiting for it could be mutual.
    select r.tenant_id, r.id, r.run_id from unnest(_tenants, _ids, _runs) as g (tenant_id, id, run_id)
    join plinth_jobs.jobs_run r on r.tenant_id = g.tenant_id and r.id = g.id and r.run_id = g.run_id and r.status = 'processing' for update of r skip locked
  ), scopes as materialized (
    select s.scope, _tenants[s.lane] as tenant_id, _ids[s.lane] as id, _runs[s.lane] as run_id from plinth_jobs.lane_scopes(_queues, _tenants, _keys) s
    join free f on f.tenant_id = _tenants[s.lane] and f.run_id = _runs[s.lane] where s.max_running is not null
  ), marked as (
    update plinth_jobs.jobs_run r set linked = true from (select distinct s.tenant_id, s.id, s.run_id from scopes s) s
    where r.tenant_id = s.tenant_id and r.id = s.id and r.run_id = s.run_id and r.status = 'processing' returning r.run_id
  )
  insert into plinth_jobs.holds (tenant_id, run_id, scope, job_id)
  select s.tenant_id, s.run_id, s.scope, s.id from scopes s join marked m on m.run_id = s.run_id on conflict do nothing;
end
$$;
comment on function plinth_jobs.hold_running() is 'Counts jobs that run already under the caps that there are now.';
