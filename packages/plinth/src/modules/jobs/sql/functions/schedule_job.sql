create or replace function plinth.schedule_job(
  p_job_type text,
  p_job_name text default null,
  p_payload jsonb default '{}',
  p_priority integer default 5,
  p_run_at timestamptz default null,
  p_max_attempts integer default null,
  p_queue text default 'default',
  p_unique_key text default null,
  p_unique_until text default null,
  p_unique_for interval default null,
  p_on_duplicate text default null,
  p_max_wait interval default null,
  p_concurrency_key text default null,
  p_deadline timestamptz default null,
  p_depends_on uuid[] default null,
  p_on_dependency_failure text default null,
  p_batch_id uuid default null,
  p_backoff jsonb default null
) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _id uuid;
  _ids uuid[];
begin
  -- The plain job, which most are: straight to where it is written.
  if coalesce(p_run_at::text, p_unique_key, p_batch_id::text, p_backoff::text, p_depends_on::text, p_unique_until, p_on_duplicate, p_concurrency_key, p_deadline::text) is null
    and length(p_job_type) between 1 and 200 and jsonb_typeof(p_payload) = 'object' and p_priority between 1 and 100 and coalesce(p_max_attempts, 3) between 1 and 1000
    and p_unique_for is null and length(p_queue) between 1 and 100 and coalesce(length(p_job_name), 0) <= 500 then
    _id := plinth_kernel.uuid_v7();
    perform plinth_jobs.write_effects(jsonb_build_array(jsonb_build_object('id', _id, 'kind', p_job_type, 'name', p_job_name, 'payload', p_payload, 'priority', p_priority,
      'max_attempts', p_max_attempts, 'queue', p_queue)));
    return _id;
  end if;
  _ids := plinth.schedule_jobs(jsonb_build_array(jsonb_build_object('job_type', p_job_type, 'job_name', p_job_name, 'payload', p_payload, 'priority', p_priority, 'run_at', p_run_at,
    'max_attempts', p_max_attempts, 'queue', p_queue, 'unique_key', p_unique_key, 'unique_until', p_unique_until, 'unique_for_ms', extract(epoch from p_unique_for) * 1000,
    'on_duplicate', p_on_duplicate, 'max_wait_ms', extract(epoch from p_max_wait) * 1000, 'concurrency_key', p_concurrency_key, 'deadline', p_deadline,
    'depends_on', p_depends_on, 'on_dependency_failure', p_on_dependency_failure, 'batch_id', p_batch_id, 'backoff', p_backoff)));
  return _ids[1];
end
$$;
comment on function plinth.schedule_job(text, text, jsonb, integer, timestamptz, integer, text, text, text, interval, text, interval, text, timestamptz, uuid[], text, uuid, jsonb) is
  'Enqueues a job in the transaction of the caller and returns its id. p_priority: 1 (most urgent) to 100. p_run_at: not before; null is now. p_unique_key: one job of this type has it, until p_unique_until (done, started) or for p_unique_for; p_on_duplicate: keep (default; the id of the holder is returned), reject, replace, debounce. p_deadline: not started later. p_depends_on: jobs that must have ended; p_on_dependency_failure: fail, ignore, run. p_backoff: "none", [seconds], {"base_s"}. Errors: kernel_tenant_required, jobs_job_invalid, jobs_payload_too_large, jobs_duplicate, jobs_dependency_not_found, jobs_batch_finished.';
