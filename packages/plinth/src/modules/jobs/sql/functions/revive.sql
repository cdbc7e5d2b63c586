create or replace function plinth_jobs.revive(p_tenant_id uuid, p_id uuid, p_more_attempts integer, p_payload jsonb, p_run_at timestamptz) returns boolean
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _now timestamptz := clock_timestamp();
  _job plinth_jobs.jobs;
  _gate record;
  _waits boolean := false;
  _failed jsonb;
begin
  delete from plinth_jobs.jobs j where j.status = 'failed' and j.tenant_id = p_tenant_id and j.id = p_id returning j.* into _job;
  if not found then
    return false;
  end if;
  if _job.unique_key is not null then
    perform plinth_jobs.meet_holder(p_tenant_id, jsonb_build_object('id', p_id, 'kind', _job.kind, 'more', jsonb_build_object('unique_key', _job.unique_key, 'on_duplicate', 'reject')));
  end if;
  -- A batch or a dependent that still waits for another job waits for this one once more; a share lock on that part keeps it from ending meanwhile.
  for _gate in
    select p.gate_id from plinth_jobs.gate_parts p join plinth_jobs.gates g on g.tenant_id = p.tenant_id and g.id = p.gate_id
    where p.tenant_id = p_tenant_id and p.job_id = p_id and p.status is not null and g.finished_at is null
  loop
    perform from plinth_jobs.gate_parts p where p.tenant_id = p_tenant_id and p.gate_id = _gate.gate_id and p.status is null limit 1 for share skip locked;
    if found then
      update plinth_jobs.gate_parts p set status = null, ended_at = null where p.tenant_id = p_tenant_id and p.gate_id = _gate.gate_id and p.job_id = p_id;
    end if;
  end loop;
  if _job.linked then
    _waits := plinth_jobs.wait_again(p_tenant_id, p_id, p_run_at);
  end if;
  insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, slot, concurrency_key, payload, error, attempts, max_attempts, unique_key, linked, run_id, run_at,
    deadline, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
  values (_job.tenant_id, _job.id, _job.kind, _job.name, _job.queue, case when _waits or p_run_at > _now then 'scheduled' else 'pending' end, _job.priority, (select s.last_value from plinth_jobs.open_slot s),
    _job.concurrency_key, coalesce(plinth_jobs.checked_payload(p_payload), _job.payload), _job.error, _job.attempts, least(1000, _job.attempts + greatest(1, p_more_attempts)), _job.unique_key, _job.linked,
    _job.run_id, case when _waits then 'infinity' else coalesce(p_run_at, _now) end, null, _job.actor_type, _job.actor_id, _job.correlation_id, _job.causation_id, _job.xact, _job.created_at);
  if _waits then
    -- What it waits for may have ended since, or it need not wait.
    _failed := plinth_jobs.open_gate(p_tenant_id, p_id);
    if _failed is not null then
      perform plinth_jobs.settle_linked(jsonb_build_array(_failed));
    end if;
  end if;
  return true;
end
$$;
comment on function plinth_jobs.revive(uuid, uuid, integer, jsonb, timestamptz) is 'Makes a dead letter pending, or scheduled for p_run_at or until what it depends on has ended. False: it is none. Errors: jobs_duplicate, jobs_dependency_failed, jobs_payload_too_large.';
