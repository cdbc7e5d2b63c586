create or replace function plinth.retry_job(p_id uuid, p_more_attempts integer default 3, p_payload jsonb default null, p_run_at timestamptz default null,
  p_with_dependents boolean default false) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.tenant_id();
begin
  if jsonb_typeof(p_payload) <> 'object' then
    raise exception 'The payload of a job is a JSON object' using errcode = 'PL422', detail = '{"code":"jobs_job_invalid"}', hint = 'Give an object, or null for the payload it had.';
  end if;
  if p_run_at in ('infinity', '-infinity') then
    raise exception 'A job runs again at a finite time' using errcode = 'PL422', detail = '{"code":"jobs_job_invalid"}', hint = 'Give a time, or null for now.';
  end if;
  if plinth_jobs.revive(_tenant, p_id, p_more_attempts, p_payload, p_run_at) then
    if p_with_dependents then
      perform plinth_jobs.revive_dependents(_tenant, p_id, p_more_attempts);
    end if;
    return p_id;
  end if;
  if exists (select from plinth_jobs.jobs j where j.tenant_id = _tenant and j.id = p_id) then
    raise exception 'Job % is not a dead letter', p_id using errcode = 'PL409', detail = '{"code":"jobs_not_failed"}', hint = 'Only a job with status failed can be run again; enqueue a new one instead.';
  end if;
  raise exception 'There is no job %', p_id using errcode = 'PL404', detail = '{"code":"jobs_job_not_found"}', hint = 'Check the id and the tenant; dead letters are kept for 30 days.';
end
$$;
comment on function plinth.retry_job(uuid, integer, jsonb, timestamptz, boolean) is
  'Runs a dead letter again, under its old id, with p_more_attempts more attempts; p_payload: another payload; p_run_at: not before; p_with_dependents: so do those that failed because of it, after it. A job that depends on others waits for those of them that live again. Returns the id. Errors: jobs_job_not_found, jobs_not_failed, jobs_job_invalid, jobs_duplicate, jobs_dependency_failed, jobs_payload_too_large.';
