-- Moved by DELETE and INSERT in one statement, as every row is that changes its partition; it keeps its place in its lane.
create or replace function plinth_jobs.replace_waiting(p_tenant_id uuid, p_job_id uuid, p_row jsonb, p_first timestamptz, p_unstarted boolean) returns boolean
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _at timestamptz := plinth_jobs.put_off(p_row -> 'more', p_first);
  _now timestamptz := clock_timestamp();
begin
  with gone as (
    delete from plinth_jobs.jobs j where j.status in ('scheduled', 'pending') and j.tenant_id = p_tenant_id and j.id = p_job_id and (j.attempts = 0 or not p_unstarted) returning j.*
  ), later as (
    -- One that waits for other jobs has its time at its gate.
    update plinth_jobs.gates g set run_at = _at from gone o where o.run_at = 'infinity' and g.tenant_id = o.tenant_id and g.id = o.id
  )
  insert into plinth_jobs.jobs (tenant_id, id, seq, kind, name, queue, status, priority, slot, concurrency_key, payload, error, attempts, max_attempts, unique_key, linked, run_id,
    run_at, deadline, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
  select g.tenant_id, g.id, g.seq, g.kind, coalesce(p_row ->> 'name', g.name), g.queue, case when g.run_at = 'infinity' or _at > _now then 'scheduled' else 'pending' end,
    coalesce((p_row ->> 'priority')::smallint, g.priority), (select s.last_value from plinth_jobs.open_slot s), g.concurrency_key,
    plinth_jobs.checked_payload(coalesce(p_row -> 'payload', '{}')), g.error, g.attempts, g.max_attempts, g.unique_key, g.linked, g.run_id,
    case when g.run_at = 'infinity' then g.run_at else _at end, g.deadline, g.actor_type, g.actor_id, g.correlation_id, g.causation_id, g.xact, g.created_at
  from gone g;
  return found;
end
$$;
comment on function plinth_jobs.replace_waiting(uuid, uuid, jsonb, timestamptz, boolean) is
  'Gives a waiting job the payload, priority, name and time of a row of plinth_jobs.write_special; p_first: since when it is put off, for max_wait_ms; p_unstarted: only before its first attempt, after which its key is free. False: it does not wait, or not for that.';
