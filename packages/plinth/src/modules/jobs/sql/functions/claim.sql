-- Priority, then age, over all tenants that the role may see; rows that another worker holds are passed over, not waited for. Planner
-- settings are fixed because the table empties and fills faster than its statistics follow: left alone, a claim of 200 from 20,000 new
-- jobs read and sorted them all.
create or replace function plinth_jobs.claim(p_worker text, p_limit integer, p_lease interval default interval '15 seconds', p_kinds text[] default null, p_queues text[] default null)
returns table (tenant_id uuid, id uuid, run_id uuid, kind text, name text, queue text, payload jsonb, attempt smallint, max_attempts smallint, priority smallint,
  correlation_id uuid, causation_id uuid, run_at timestamptz, started_at timestamptz)
language sql volatile security invoker set search_path = ''
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
  select plinth_jobs.promote(1000);
  with picked as materialized (
    select j.tenant_id, j.id from plinth_jobs.jobs j
    where j.status = 'pending' and (p_kinds is null or j.kind = any (p_kinds)) and (p_queues is null or j.queue = any (p_queues))
    order by j.priority, j.created_at limit p_limit for update skip locked
  )
  update plinth_jobs.jobs j
  set status = 'processing', run_id = plinth_kernel.uuid_v7(), attempts = j.attempts + 1, worker = p_worker, started_at = clock_timestamp(),
    lease_until = clock_timestamp() + p_lease, progress = 0, progress_note = null
  from picked p
  where j.status = 'pending' and j.tenant_id = p.tenant_id and j.id = p.id
  returning j.tenant_id, j.id, j.run_id, j.kind, j.name, j.queue, j.payload, j.attempts, j.max_attempts, j.priority, j.correlation_id, j.causation_id, j.run_at, j.started_at
$$;
comment on function plinth_jobs.claim(text, integer, interval, text[], text[]) is
  'Takes at most p_limit pending jobs for a worker, of the given kinds and queues (null: all). Each gets a new run_id, the fence that every later call must show, and a lease by the clock of the database.';
