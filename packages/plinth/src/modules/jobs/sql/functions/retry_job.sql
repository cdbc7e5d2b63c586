create or replace function plinth.retry_job(p_id uuid, p_more_attempts integer default 3) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.tenant_id();
  _job plinth_jobs.jobs;
begin
  delete from plinth_jobs.jobs j where j.status = 'failed' and j.tenant_id = _tenant and j.id = p_id returning j.* into _job;
  if found then
    if _job.unique_key is not null then
      insert into plinth_jobs.unique_keys (tenant_id, kind, key, job_id) values (_job.tenant_id, _job.kind, _job.unique_key, _job.id);
    end if;
    insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, slot, concurrency_key, payload, error, attempts, max_attempts, unique_key, linked, run_id,
      deadline, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
    values (_job.tenant_id, _job.id, _job.kind, _job.name, _job.queue, 'pending', _job.priority, (select s.last_value from plinth_jobs.open_slot s), _job.concurrency_key, _job.payload, _job.error, _job.attempts,
      least(1000, _job.attempts + greatest(1, p_more_attempts)), _job.unique_key, _job.linked, _job.run_id, null, _job.actor_type, _job.actor_id, _job.correlation_id, _job.causation_id, _job.xact, _job.created_at);
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
