create or replace function plinth.reschedule_job(p_id uuid, p_run_at timestamptz default null, p_priority integer default null) returns uuid
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _tenant uuid := plinth_kernel.require_tenant();
  _now timestamptz := clock_timestamp();
  _status text;
begin
  if p_priority not between 1 and 100 or p_run_at in ('infinity', '-infinity') then
    raise exception 'A job has a priority from 1 to 100 and a finite time' using errcode = 'PL422', detail = '{"code":"jobs_job_invalid"}', hint = 'Correct the argument that is out of range.';
  end if;
  -- A claim or a promotion may move the job between the two statements; it settles within a round or two.
  for _round in 1 .. 5 loop
    with gone as (
      delete from plinth_jobs.jobs j where j.status in ('scheduled', 'pending') and j.tenant_id = _tenant and j.id = p_id returning j.*
    ), later as (
      -- One that waits for other jobs has its time at its gate.
      update plinth_jobs.gates g set run_at = coalesce(p_run_at, g.run_at) from gone o where o.run_at = 'infinity' and g.tenant_id = o.tenant_id and g.id = o.id
    )
    insert into plinth_jobs.jobs (tenant_id, id, seq, kind, name, queue, status, priority, slot, concurrency_key, payload, error, attempts, max_attempts, unique_key, linked, run_id,
      run_at, deadline, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
    select g.tenant_id, g.id, g.seq, g.kind, g.name, g.queue, case when g.run_at = 'infinity' or coalesce(p_run_at, g.run_at) > _now then 'scheduled' else 'pending' end,
      coalesce(p_priority, g.priority), (select s.last_value from plinth_jobs.open_slot s), g.concurrency_key, g.payload, g.error, g.attempts, g.max_attempts, g.unique_key, g.linked, g.run_id,
      case when g.run_at = 'infinity' then g.run_at else coalesce(p_run_at, g.run_at) end, g.deadline, g.actor_type, g.actor_id, g.correlation_id, g.causation_id, g.xact, g.created_at
    from gone g;
    if found then
      return p_id;
    end if;
    select j.status into _status from plinth_jobs.jobs j where j.tenant_id = _tenant and j.id = p_id;
    if not found then
      raise exception 'There is no job %', p_id using errcode = 'PL404', detail = '{"code":"jobs_job_not_found"}', hint = 'Check the id and the tenant; finished jobs are kept for 7 days.';
    end if;
    exit when _status not in ('scheduled', 'pending');
  end loop;
  raise exception 'Job % is %, it does not wait any more', p_id, _status using errcode = 'PL409', detail = jsonb_build_object('code', 'jobs_not_waiting', 'status', _status)::text,
    hint = 'Only a job with status scheduled or pending can be put off or preferred.';
end
$$;
comment on function plinth.reschedule_job(uuid, timestamptz, integer) is
  'Gives a waiting job another time or priority; null: as it was. One that waits for other jobs runs not before p_run_at. Returns the id. Errors: jobs_job_not_found, jobs_not_waiting, jobs_job_invalid.';
