-- Closes the gate of a dead letter that is to run again. What had failed or was cancelled is asked anew: it may wait, run or have completed since.
create or replace function plinth_jobs.wait_again(p_tenant_id uuid, p_id uuid, p_run_at timestamptz) returns boolean
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _gate plinth_jobs.gates;
  _again jsonb;
  _part record;
begin
  select g.* into _gate from plinth_jobs.gates g where g.tenant_id = p_tenant_id and g.id = p_id and g.opens = 'job' for update;
  if not found then
    return false;
  end if;
  with gone as (
    delete from plinth_jobs.gate_parts p where p.tenant_id = p_tenant_id and p.gate_id = p_id and p.status in ('failed', 'cancelled')
      and exists (select from plinth_jobs.jobs j where j.tenant_id = p.tenant_id and j.id = p.job_id)
    returning p.job_id
  )
  select jsonb_agg(g.job_id) into _again from gone g;
  if _again is not null then
    perform plinth_jobs.link_dependencies(p_tenant_id, jsonb_build_array(jsonb_build_object('id', p_id, 'more', jsonb_build_object('depends_on', _again))), '{}');
  end if;
  select p.job_id, p.status into _part from plinth_jobs.gate_parts p
  where _gate.on_failure = 'fail' and p.tenant_id = p_tenant_id and p.gate_id = p_id and p.status in ('failed', 'cancelled') order by p.job_id limit 1;
  if found then
    raise exception 'Job % depends on job %, which %', p_id, _part.job_id, case _part.status when 'failed' then 'failed' else 'was cancelled' end using errcode = 'PL409',
      detail = jsonb_build_object('code', 'jobs_dependency_failed', 'job_id', p_id, 'depends_on', _part.job_id, 'status', _part.status)::text,
      hint = 'Run that one again, with p_with_dependents, or enqueue this one anew without it.';
  end if;
  update plinth_jobs.gates g set finished_at = null, completed = null, failed = null, cancelled = null, run_at = p_run_at
  where g.tenant_id = p_tenant_id and g.id = p_id and exists (
    select from plinth_jobs.gate_parts p where p.tenant_id = p_tenant_id and p.gate_id = p_id and p.status is null);
  return found;
end
$$;
comment on function plinth_jobs.wait_again(uuid, uuid, timestamptz) is
  'Closes the gate of a dead letter that is to run again, not before p_run_at, while jobs that it depends on live. False: it has nothing to wait for. Error: jobs_dependency_failed, one of them is not to run again.';
