-- plinth_jobs.revive for jobs that nothing is linked to: all in one statement.
create or replace function plinth_jobs.revive_plain(p_tenant_id uuid, p_ids uuid[], p_more_attempts integer, p_payload jsonb, p_run_at timestamptz, p_gap interval) returns bigint
language plpgsql volatile security invoker set search_path = '' set jit = off set enable_seqscan = off
as $$
declare
  _payload jsonb := plinth_jobs.checked_payload(p_payload);
  _now timestamptz := clock_timestamp();
  _revived bigint;
begin
  with gone as (
    delete from plinth_jobs.jobs j where j.status = 'failed' and j.tenant_id = p_tenant_id and j.id = any (p_ids) and not j.linked returning j.*
  )
  insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, slot, concurrency_key, payload, error, attempts, max_attempts, unique_key, linked, run_id, run_at,
    deadline, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
  select g.tenant_id, g.id, g.kind, g.name, g.queue, case when t.at > _now then 'scheduled' else 'pending' end, g.priority, (select s.last_value from plinth_jobs.open_slot s), g.concurrency_key,
    coalesce(_payload, g.payload), g.error, g.attempts, least(1000, g.attempts + greatest(1, p_more_attempts)), g.unique_key, g.linked, g.run_id, t.at, null, g.actor_type, g.actor_id,
    g.correlation_id, g.causation_id, g.xact, g.created_at
  from gone g join unnest(p_ids) with ordinality as o (id, n) on o.id = g.id
  cross join lateral (select coalesce(p_run_at + coalesce(p_gap * (o.n - 1), interval '0'), _now) as at offset 0) as t;
  get diagnostics _revived = row_count;
  return _revived;
end
$$;
comment on function plinth_jobs.revive_plain(uuid, uuid[], integer, jsonb, timestamptz, interval) is
  'Makes dead letters pending, or scheduled from p_run_at on, p_gap apart. Returns how many; the others were none any more. Error: jobs_payload_too_large.';
