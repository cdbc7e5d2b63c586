create or replace function plinth_jobs.extend(p_tenants uuid[], p_ids uuid[], p_run_ids uuid[], p_lease interval default interval '15 seconds')
returns table (run_id uuid, cancel_requested boolean)
language sql volatile security invoker set search_path = '' set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
  update plinth_jobs.jobs j set lease_until = clock_timestamp() + p_lease
  from unnest(p_tenants, p_ids, p_run_ids) as g (tenant_id, id, run_id)
  where j.status = 'processing' and j.tenant_id = g.tenant_id and j.id = g.id and j.run_id = g.run_id
  returning j.run_id, j.cancel_requested_at is not null
$$;
comment on function plinth_jobs.extend(uuid[], uuid[], uuid[], interval) is
  'Heartbeat: extends the leases of running attempts. Returns those that still hold, and whether they should stop; the missing ones have lost their lease.';
