-- By the parent table, not by its partition: whoever runs a dead letter again comes here with the rights of the tenant.
create or replace function plinth_jobs.release_job(p_gate plinth_jobs.gates) returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _now timestamptz := clock_timestamp();
  _reason text;
  _ended jsonb;
begin
  if p_gate.on_failure = 'fail' then
    select format('job %s, which it depends on, %s', p.job_id, case p.status when 'failed' then 'failed' else 'was cancelled' end) into _reason
    from plinth_jobs.gate_parts p where p.tenant_id = p_gate.tenant_id and p.gate_id = p_gate.id and p.status in ('failed', 'cancelled') order by p.job_id limit 1;
  end if;
  with gone as (
    delete from plinth_jobs.jobs j where j.status = 'scheduled' and j.tenant_id = p_gate.tenant_id and j.id = p_gate.id and j.run_at = 'infinity' returning j.*
  ), arrived as (
    insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, slot, concurrency_key, payload, error, attempts, max_attempts, unique_key, linked, run_id,
      run_at, deadline, finished_at, worker, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
    select g.tenant_id, g.id, g.kind, g.name, g.queue, case when _reason is not null then 'failed' when p_gate.run_at > _now then 'scheduled' else 'pending' end, g.priority,
      (select s.last_value from plinth_jobs.open_slot s), g.concurrency_key, g.payload, coalesce(_reason, g.error), g.attempts, g.max_attempts,
      case when _reason is not null then plinth_jobs.kept_key(g.tenant_id, g.kind, g.unique_key, g.id) else g.unique_key end, g.linked, g.run_id,
      greatest(p_gate.run_at, _now), g.deadline, case when _reason is not null then _now end, case when _reason is not null then '#' end, g.actor_type, g.actor_id, g.correlation_id, g.causation_id, g.xact, g.created_at
    from gone g
  )
  select jsonb_build_object('tenant_id', g.tenant_id, 'id', g.id, 'kind', g.kind, 'unique_key', g.unique_key, 'status', 'failed', 'correlation_id', g.correlation_id, 'error', _reason) into _ended from gone g where _reason is not null;
  return _ended;
end
$$;
comment on function plinth_jobs.release_job(plinth_jobs.gates) is 'Lets a job run whose gate has opened, or fails it when a job that it depends on failed. Returns the job when it failed.';
