create or replace function plinth.cancel_job(p_id uuid, p_reason text default null) returns text
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _tenant uuid := plinth_kernel.tenant_id();
  _status text;
  _linked jsonb;
begin
  -- A claim or a retry may move the job between the two statements; it settles within a round or two.
  for _round in 1 .. 5 loop
    with gone as (
      delete from plinth_jobs.jobs j where j.status in ('scheduled', 'pending', 'failed') and j.tenant_id = _tenant and j.id = p_id returning j.*
    ), moved as (
      insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, concurrency_key, payload, error, attempts, max_attempts, progress, progress_note, unique_key,
        run_at, deadline, run_id, started_at, finished_at, cancel_requested_at, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
      select g.tenant_id, g.id, g.kind, g.name, g.queue, 'cancelled', g.priority, g.concurrency_key, g.payload, coalesce(p_reason, g.error), g.attempts, g.max_attempts, g.progress, g.progress_note, g.unique_key,
        g.run_at, g.deadline, plinth_kernel.uuid_v7(), null, clock_timestamp(), clock_timestamp(), g.actor_type, g.actor_id, g.correlation_id, g.causation_id, g.xact, g.created_at
      from gone g
    )
    select g.status, case when g.linked and g.status <> 'failed' then jsonb_build_array(jsonb_build_object('tenant_id', g.tenant_id, 'id', g.id, 'kind', g.kind, 'unique_key', g.unique_key, 'status', 'cancelled')) end
    into _status, _linked from gone g;
    if found then
      if _linked is not null then
        perform plinth_jobs.settle_linked(_linked);
      end if;
      return 'cancelled';
    end if;
    with marked as (
      update plinth_jobs.jobs j set linked = true, cancel_requested_at = coalesce(j.cancel_requested_at, clock_timestamp()), error = coalesce(p_reason, j.error)
      where j.status = 'processing' and j.tenant_id = _tenant and j.id = p_id
      returning j.tenant_id, j.id, j.run_id, j.worker
    ), requested as (
      insert into plinth_jobs.cancel_requests (tenant_id, job_id, run_id, worker) select m.tenant_id, m.id, m.run_id, m.worker from marked m where m.worker is not null on conflict do nothing
    )
    select 'processing' into _status from marked;
    if found then
      return 'processing';
    end if;
    select j.status into _status from plinth_jobs.jobs j where j.tenant_id = _tenant and j.id = p_id and j.status in ('completed', 'cancelled');
    exit when _status is not null;
  end loop;
  if _status is null then
    raise exception 'There is no job %', p_id using errcode = 'PL404', detail = '{"code":"jobs_job_not_found"}', hint = 'Check the id and the tenant; finished jobs are kept for 7 days.';
  end if;
  if _status = 'completed' then
    raise exception 'Job % has completed', p_id using errcode = 'PL409', detail = '{"code":"jobs_already_finished","status":"completed"}', hint = 'Only a job that has not finished can be cancelled.';
  end if;
  return 'cancelled';
end
$$;
comment on function plinth.cancel_job(uuid, text) is
  'Cancels a job. Returns cancelled, or processing when it is running: then its handler is told to stop and the job is cancelled when it does. Cancelling a cancelled job does nothing. Errors: jobs_job_not_found, jobs_already_finished.';
