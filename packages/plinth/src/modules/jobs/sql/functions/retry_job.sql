create or replace function plinth.retry_job(p_id uuid, p_more_attempts integer default 3) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.tenant_id();
begin
  with gone as (
    delete from plinth_jobs.jobs j where j.status = 'failed' and j.tenant_id = _tenant and j.id = p_id returning j.*
  )
  insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, payload, error, attempts, max_attempts, unique_key, run_id,
    actor_type, actor_id, correlation_id, causation_id, xact, created_at)
  select g.tenant_id, g.id, g.kind, g.name, g.queue, 'pending', g.priority, g.payload, g.error, g.attempts, least(1000, g.attempts + greatest(1, p_more_attempts)), g.unique_key, g.run_id,
    g.actor_type, g.actor_id, g.correlation_id, g.causation_id, g.xact, g.created_at
  from gone g;
  if found then
    return p_id;
  end if;
  if exists (select from plinth_jobs.jobs j where j.tenant_id = _tenant and j.id = p_id) then
    raise exception 'Job % is not a dead letter', p_id using errcode = 'PL409', detail = '{"code":"jobs_not_failed"}', hint = 'Only a job with status failed can be run again; enqueue a new one instead.';
  end if;
  raise exception 'There is no job %', p_id using errcode = 'PL404', detail = '{"code":"jobs_job_not_found"}', hint = 'Check the id and the tenant; dead letters are kept for 30 days.';
exception
  when unique_violation then
    raise exception 'Another job with the unique key of % is waiting or running', p_id using errcode = 'PL409', detail = '{"code":"jobs_duplicate"}', hint = 'Wait until it has ended, or cancel it.';
end
$$;
comment on function plinth.retry_job(uuid, integer) is
  'Runs a dead letter again, under its old id, with p_more_attempts more attempts. Returns the id. Errors: jobs_job_not_found, jobs_not_failed, jobs_duplicate.';
