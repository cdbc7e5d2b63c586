create or replace function plinth.schedule_job(
  p_job_type text,
  p_job_name text default null,
  p_payload jsonb default '{}',
  p_priority integer default 5,
  p_run_at timestamptz default null,
  p_max_attempts integer default null,
  p_queue text default 'default',
  p_unique_key text default null
) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _id uuid := plinth_kernel.uuid_v7();
  _written uuid;
begin
  if coalesce(length(p_job_type), 0) not between 1 and 200 or coalesce(jsonb_typeof(p_payload), 'object') <> 'object'
    or coalesce(p_priority, 5) not between 1 and 100 or coalesce(p_max_attempts, 3) not between 1 and 1000 then
    raise exception 'A job needs a kind of 1 to 200 characters, a payload that is a JSON object, a priority from 1 to 100 and 1 to 1000 attempts'
      using errcode = 'PL422', detail = '{"code":"jobs_job_invalid"}', hint = 'Correct the argument that is out of range.';
  end if;
  perform plinth_jobs.write_effects(jsonb_build_array(jsonb_build_object('id', _id, 'kind', p_job_type, 'name', p_job_name, 'payload', p_payload,
    'priority', p_priority, 'run_at', p_run_at, 'max_attempts', p_max_attempts, 'queue', p_queue, 'unique_key', p_unique_key)));
  if p_unique_key is null then
    return _id;
  end if;
  select u.job_id into _written from plinth_jobs.unique_keys u
  where u.tenant_id = plinth_kernel.tenant_id() and u.kind = p_job_type and u.key = p_unique_key;
  -- The holder of the key may have ended between the two statements: then the job is simply not there any more, and its id is ours.
  return coalesce(_written, _id);
end
$$;
comment on function plinth.schedule_job(text, text, jsonb, integer, timestamptz, integer, text, text) is
  'Enqueues a job in the transaction of the caller and returns its id. p_priority: 1 (most urgent) to 100. p_run_at: not before; null is now. p_unique_key: at most one scheduled, pending or processing job of this type has it; if there is one, nothing is written and its id is returned. Errors: kernel_tenant_required, jobs_job_invalid, jobs_payload_too_large.';
