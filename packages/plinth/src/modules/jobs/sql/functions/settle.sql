-- Ends attempts, set-based: [{tenant_id, id, run_id, outcome, result, error, delay_ms, final}]. A row counts only under the run_id of the
-- running attempt, so a worker whose lease was lost changes nothing. What happens:
--   completed                        -> completed
--   cancelled, or failed or lost after a cancel was asked for -> cancelled
--   failed or lost, attempts used up or final -> failed, the dead letter
--   failed                           -> scheduled after delay_ms, default plinth_jobs.backoff
--   lost                             -> pending at once: the lease was the wait
--   snoozed                          -> scheduled after delay_ms; the attempt is not counted
--   returned                         -> pending at once, as if it had not been claimed
create or replace function plinth_jobs.settle(p_rows jsonb) returns setof uuid
language sql volatile security invoker set search_path = '' set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
  with given as materialized (
    select * from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, run_id uuid, outcome text, result jsonb, error text, delay_ms double precision, final boolean)
  ), held as materialized (
    select j.tenant_id, j.id, j.run_id, g.outcome, g.result as new_result, g.error as new_error, g.delay_ms,
      case
        when g.outcome = 'completed' then 'completed'
        when g.outcome in ('returned', 'snoozed') and j.cancel_requested_at is null then null
        when g.outcome = 'cancelled' or j.cancel_requested_at is not null then 'cancelled'
        when g.final or j.attempts >= j.max_attempts then 'failed'
      end as end_status
    from given g join plinth_jobs.jobs j on j.status = 'processing' and j.tenant_id = g.tenant_id and j.id = g.id and j.run_id = g.run_id
    for update of j
  ), ended as (
    delete from plinth_jobs.jobs j using held h
    where h.end_status is not null and j.status = 'processing' and j.tenant_id = h.tenant_id and j.id = h.id and j.run_id = h.run_id
    returning j.*, h.end_status, h.outcome, h.new_result, h.new_error
  ), moved as (
    insert into plinth_jobs.jobs (tenant_id, id, kind, name, queue, status, priority, payload, result, error, attempts, max_attempts, progress, progress_note, unique_key,
      run_at, run_id, worker, started_at, finished_at, cancel_requested_at, actor_type, actor_id, correlation_id, causation_id, xact, created_at)
    select e.tenant_id, e.id, e.kind, e.name, e.queue, e.end_status, e.priority, e.payload, e.new_result, case when e.end_status = 'completed' then null else coalesce(e.new_error, e.error) end,
      e.attempts, e.max_attempts, case when e.end_status = 'completed' then 100 else e.progress end, e.progress_note, e.unique_key,
      e.run_at, e.run_id, e.worker, e.started_at, clock_timestamp(), e.cancel_requested_at, e.actor_type, e.actor_id, e.correlation_id, e.causation_id, e.xact, e.created_at
    from ended e
  ), again as (
    update plinth_jobs.jobs j
    set status = case when h.outcome in ('failed', 'snoozed') then 'scheduled' else 'pending' end,
      run_at = case h.outcome
        when 'failed' then clock_timestamp() + coalesce(h.delay_ms * interval '1 millisecond', plinth_jobs.backoff(j.attempts, random()))
        when 'snoozed' then clock_timestamp() + coalesce(h.delay_ms, 0) * interval '1 millisecond'
        else j.run_at end,
      attempts = case when h.outcome in ('returned', 'snoozed') then j.attempts - 1 else j.attempts end,
      error = coalesce(h.new_error, j.error), worker = null, lease_until = null
    from held h
    where h.end_status is null and j.status = 'processing' and j.tenant_id = h.tenant_id and j.id = h.id and j.run_id = h.run_id
    returning j.tenant_id, j.id, j.run_id, j.kind, case when h.outcome in ('returned', 'snoozed') then j.attempts + 1 else j.attempts end as attempt,
      h.outcome, h.new_error, j.started_at, j.correlation_id, j.causation_id
  ), logged as (
    insert into plinth_jobs.attempts (tenant_id, id, job_id, kind, attempt, outcome, error, worker, started_at, correlation_id, causation_id)
    select e.tenant_id, e.run_id, e.id, e.kind, e.attempts, case when e.end_status in ('completed', 'cancelled') then e.end_status else e.outcome end, e.new_error, e.worker, e.started_at, e.correlation_id, e.id
    from ended e
    union all
    select a.tenant_id, a.run_id, a.id, a.kind, a.attempt, a.outcome, a.new_error, null, a.started_at, a.correlation_id, a.id
    from again a where a.outcome <> 'returned'
  )
  select e.run_id from ended e union all select a.run_id from again a
$$;
comment on function plinth_jobs.settle(jsonb) is
  'Ends attempts, [{tenant_id, id, run_id, outcome: completed | failed | cancelled | lost | snoozed | returned, result, error, delay_ms, final}]. Returns the run_ids that were accepted; the others had lost their lease.';
