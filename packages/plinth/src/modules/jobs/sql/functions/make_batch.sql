-- Open while its jobs are written, or it would have finished before they come.
create or replace function plinth.make_batch(
  p_jobs jsonb default '[]',
  p_name text default null,
  p_on_complete jsonb default null,
  p_on_success jsonb default null,
  p_on_failure jsonb default null,
  p_open boolean default false
) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _id uuid := plinth_kernel.uuid_v7();
  _fields constant text[] := '{job_type, job_name, payload, priority, max_attempts, queue}';
  _fault text := case when length(p_name) > 500 then 'its name has at most 500 characters' end;
  _callbacks jsonb;
begin
  select coalesce(_fault, min(v.given || ': ' || f.fault)), jsonb_object_agg(v.place, jsonb_strip_nulls(jsonb_build_object('kind', v.job -> 'job_type', 'name', v.job -> 'job_name',
    'priority', v.job -> 'priority', 'max_attempts', v.job -> 'max_attempts', 'queue', v.job -> 'queue')) || jsonb_build_object('payload', coalesce(v.job -> 'payload', '{}'))) filter (where v.job is not null)
  into _fault, _callbacks
  from (values ('p_on_complete', 'on_complete', p_on_complete), ('p_on_success', 'on_success', p_on_success), ('p_on_failure', 'on_failure', p_on_failure)) as v (given, place, job)
  cross join lateral (select case
    when v.job is null then null
    when jsonb_typeof(v.job) <> 'object' then 'it is a JSON object'
    when v.job - _fields <> '{}' then format('it takes %s', array_to_string(_fields, ', '))
    else (
      select case
        when coalesce(length(r.job_type), 0) not between 1 and 200 then 'job_type has 1 to 200 characters'
        when length(r.job_name) > 500 then 'job_name has at most 500 characters'
        when coalesce(jsonb_typeof(r.payload), 'object') <> 'object' then 'payload is a JSON object'
        when octet_length(r.payload::text) > 262144 then 'payload has at most 262144 bytes'
        when r.priority not between 1 and 100 then 'priority is 1 to 100'
        when r.max_attempts not between 1 and 1000 then 'max_attempts is 1 to 1000'
        when length(r.queue) not between 1 and 100 then 'queue has 1 to 100 characters'
      end
      from jsonb_to_record(v.job) as r (job_type text, job_name text, payload jsonb, priority integer, max_attempts integer, queue text))
  end as fault) as f;
  if _fault is not null then
    raise exception 'The batch is not valid: %', _fault using errcode = 'PL422', detail = '{"code":"jobs_job_invalid"}', hint = 'Correct the argument that is named.';
  end if;
  perform plinth_jobs.write_effects(jsonb_build_array(jsonb_build_object('id', _id, 'more', jsonb_build_object('batch',
    jsonb_strip_nulls(jsonb_build_object('name', p_name)) || jsonb_build_object('open', true) || coalesce(_callbacks, '{}')))));
  perform plinth.schedule_jobs(case when jsonb_typeof(p_jobs) = 'array' then (
    select coalesce(jsonb_agg(case jsonb_typeof(j.job) when 'object' then j.job || jsonb_build_object('batch_id', _id) else j.job end order by j.n), '[]') from jsonb_array_elements(p_jobs) with ordinality as j (job, n))
    else p_jobs end);
  if p_open is not true then
    perform plinth.close_batch(_id);
  end if;
  return _id;
end
$$;
comment on function plinth.make_batch(jsonb, text, jsonb, jsonb, jsonb, boolean) is
  'Makes a batch of jobs in the transaction of the caller and returns its id. p_jobs: as plinth.schedule_jobs takes them. p_on_complete, p_on_success, p_on_failure: jobs that are enqueued when all of its jobs have ended, {job_type, job_name, payload, priority, max_attempts, queue}; their payload has what became of the batch besides. p_open: it does not finish before plinth.close_batch. Jobs are added by their batch_id while it has not finished. Errors: kernel_tenant_required, jobs_job_invalid, and those of plinth.schedule_jobs.';
