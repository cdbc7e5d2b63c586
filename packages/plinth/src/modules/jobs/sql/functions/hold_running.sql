-- Everything that runs is in a claim, so only these jobs are looked at; and of these only those are locked that are to be counted, because an end
-- waits for the lock until this transaction is over. Whoever has a row locked may be ending it, and waiting for that could be mutual: it is left
-- to the next call.
create or replace function plinth_jobs.hold_running(p_tenant_id uuid default null) returns bigint
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _queues text[];
  _tenants uuid[];
  _keys text[];
  _ids uuid[];
  _runs uuid[];
  _counted bigint;
begin
  select array_agg(r.queue), array_agg(r.tenant_id), array_agg(r.concurrency_key), array_agg(r.id), array_agg(r.run_id) into _queues, _tenants, _keys, _ids, _runs
  from plinth_jobs.claims c cross join lateral unnest(c.tenant_ids, c.job_ids) as g (tenant_id, id)
  join plinth_jobs.jobs_run r on r.tenant_id = g.tenant_id and r.id = g.id and r.status = 'processing' and r.worker = c.worker
  where p_tenant_id is null or g.tenant_id = p_tenant_id;
  if _runs is null then
    return 0;
  end if;
  with scopes as materialized (
    select s.scope, _tenants[s.lane] as tenant_id, _ids[s.lane] as id, _runs[s.lane] as run_id from plinth_jobs.lane_scopes(_queues, _tenants, _keys) s
    where s.max_running is not null and not exists (
      select from plinth_jobs.holds h where h.tenant_id = _tenants[s.lane] and h.run_id = _runs[s.lane] and h.scope = s.scope)
  ), free as materialized (
    select r.tenant_id, r.id, r.run_id from (select distinct s.tenant_id, s.id, s.run_id from scopes s) u
    join plinth_jobs.jobs_run r on r.tenant_id = u.tenant_id and r.id = u.id and r.run_id = u.run_id and r.status = 'processing' for update of r skip locked
  ), marked as (
    update plinth_jobs.jobs_run r set linked = true from free f
    where r.tenant_id = f.tenant_id and r.id = f.id and r.run_id = f.run_id and r.status = 'processing' returning r.run_id
  )
  insert into plinth_jobs.holds (tenant_id, run_id, scope, job_id)
  select s.tenant_id, s.run_id, s.scope, s.id from scopes s join marked m on m.run_id = s.run_id on conflict do nothing;
  get diagnostics _counted = row_count;
  return _counted;
end
$$;
comment on function plinth_jobs.hold_running(uuid) is
  'Counts jobs of a tenant (null: of all) that run already under the caps that there are now. Returns how many places they were given; a job takes one in each scope.';
