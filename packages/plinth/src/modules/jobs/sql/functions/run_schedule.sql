-- One tick of one schedule. The row is locked and must still await exactly this tick, so that of any number of processes one enqueues.
create or replace function plinth_jobs.run_schedule(p_tenant_id uuid, p_id uuid, p_tick timestamptz, p_next timestamptz, p_correlation_id uuid) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _schedule plinth_jobs.schedules;
  _job_id uuid := plinth_kernel.uuid_v7();
begin
  update plinth_jobs.schedules s set last_run_at = p_tick, last_job_id = _job_id, next_run_at = p_next, error = null
  where s.tenant_id = p_tenant_id and s.id = p_id and s.enabled and s.next_run_at = p_tick
  returning * into _schedule;
  if not found then
    return null;
  end if;
  insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, priority, payload, max_attempts, run_at, actor_type, actor_id, correlation_id, causation_id)
  select p_tenant_id, _job_id, _schedule.kind, _schedule.name, _schedule.queue, _schedule.priority, _schedule.payload,
    coalesce(_schedule.max_attempts, (select k.max_attempts from plinth_jobs.kinds k where k.kind = _schedule.kind), 3), p_tick, 'system', 'scheduler', p_correlation_id, p_id;
  return _job_id;
end
$$;
comment on function plinth_jobs.run_schedule(uuid, uuid, timestamptz, timestamptz, uuid) is
  'Enqueues the job of a schedule for the tick it awaits and sets the next one. Returns the id of the job, or null when another process was first.';
