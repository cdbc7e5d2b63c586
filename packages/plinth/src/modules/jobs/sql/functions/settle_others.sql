-- The outcomes that move a job: rows leave jobs_run by DELETE and arrive elsewhere by INSERT in one statement. One that is given back or was
-- lost keeps its number and so its place in its lane; a worker that remembers where the lane begins forgets that every second, as for
-- transactions that commit late. One that was lost before, too, comes again at a time by chance: all that ran or waited beside a job that ends its
-- worker are lost with it, and coming back together they would be given up together.
create or replace function plinth_jobs.settle_others(p_rows jsonb) returns table (run_id uuid, status text, job jsonb)
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  _accepted uuid[];
  _statuses text[];
  _linked jsonb;
  _given integer;
begin
  with given as materialized (
    select g.* from jsonb_to_recordset(p_rows) as g (tenant_id uuid, id uuid, run_id uuid, outcome text, error text, delay_ms double precision, final boolean)
    where g.outcome <> 'completed' and (_tenant is null or g.tenant_id = _tenant)
  ), held as materialized (
    select j.tenant_id, j.id, j.run_id, j.kind, j.unique_key, j.linked, j.attempts, j.max_attempts, j.cancel_requested_at, g.outcome, g.error, g.delay_ms, g.final
    from given g join plinth_jobs.jobs_run j on j.tenant_id = g.tenant_id and j.id = g.id and j.run_id = g.run_id and j.status = 'processing'
    for update of j
  ), judged as materialized (
    select h.*, case when w.poisoned then format('%s, %s times in a row: it seems to end its worker', coalesce(h.error, 'lost'), coalesce(k.max_lost, 3)) else h.error end as new_error,
      case
        when h.outcome in ('returned', 'snoozed') and h.cancel_requested_at is null then null
        when h.outcome = 'cancelled' or h.cancel_requested_at is not null then 'cancelled'
        when h.final or w.poisoned or (w.policy = '"none"' and h.delay_ms is null) or h.attempts >= coalesce(h.max_attempts, k.max_attempts, 3) then 'failed'
      end as end_status,
      case h.outcome
        when 'failed' then clock_timestamp() + coalesce(h.delay_ms * interval '1 millisecond', plinth_jobs.backoff_of(w.policy, h.attempts, random()))
        when 'snoozed' then clock_timestamp() + coalesce(h.delay_ms, 0) * interval '1 millisecond'
        when 'lost' then case when w.lost_before > 0 then clock_timestamp() + random() * 2 * plinth_jobs.backoff_of(w.policy, h.attempts, 0.5) end
      end as again_at,
      case when h.outcome in ('returned', 'snoozed') then 0 else 1 end as counted
    from held h left join plinth_jobs.kinds k on k.kind = h.kind cross join lateral (
      select coalesce((select p.backoff from plinth_jobs.retry_policies p where h.linked and p.tenant_id = h.tenant_id and p.job_id = h.id), k.backoff) as policy,
        case when h.outcome = 'lost' then plinth_jobs.lost_in_a_row(h.tenant_id, h.id) end as lost_before offset 0) as l
    cross join lateral (select l.policy, l.lost_before, coalesce(l.lost_before + 1 >= coalesce(k.max_lost, 3), false) as poisoned) as w
  ), stopped as (
    update plinth_jobs.jobs_run j set error = coalesce(h.new_error, j.error), status = 'cancelled', finished_at = clock_timestamp()
    from judged h
    where h.end_status = 'cancelled' and j.tenant_id = h.tenant_id and j.id = h.id and j.run_id = h.run_id
  ), moved as (
    delete from plinth_jobs.jobs_run j using judged h
    where h.end_status is distinct from 'cancelled' and j.tenant_id = h.tenant_id and j.id = h.id and j.run_id = h.run_id
    returning j.*, h.end_status, h.again_at, h.counted, h.new_error
  ), arrived as (
    insert into plinth_jobs.jobs (tenant_id, id, seq, kind, name, queue, priority, slot, concurrency_key, payload, max_attempts, unique_key, linked, run_at, deadline, actor_type, actor_id, correlation_id, causation_id,
      xact, created_at, attempts, run_id, worker, started_at, error, status, progress, cancel_requested_at, finished_at, progress_note)
    select m.tenant_id, m.id, case when m.end_status is null and m.again_at is not null then nextval('plinth_jobs.job_seq') else m.seq end, m.kind, m.name, m.queue, m.priority, (select s.last_value from plinth_jobs.open_slot s), m.concurrency_key, m.payload, m.max_attempts,
      case when m.end_status = 'failed' then plinth_jobs.kept_key(m.tenant_id, m.kind, m.unique_key, m.id) else m.unique_key end, m.linked, coalesce(m.again_at, m.run_at),
      m.deadline, m.actor_type, m.actor_id, m.correlation_id, m.causation_id, m.xact, m.created_at,
      case when m.end_status is null then m.attempts - 1 + m.counted else m.attempts end, m.run_id, case when m.end_status = 'failed' then m.worker end,
      m.started_at, coalesce(m.new_error, m.error), coalesce(m.end_status, case when m.again_at is null then 'pending' else 'scheduled' end), m.progress, m.cancel_requested_at,
      case when m.end_status = 'failed' then clock_timestamp() end, m.progress_note
    from moved m
  ), logged as (
    insert into plinth_jobs.attempts (tenant_id, id, job_id, kind, attempt, outcome, error, worker, started_at, correlation_id, causation_id)
    select m.tenant_id, m.run_id, m.id, m.kind, m.attempts, h.outcome, h.new_error, m.worker, m.started_at, m.correlation_id, m.id
    from moved m join judged h on h.tenant_id = m.tenant_id and h.id = m.id and h.run_id = m.run_id
    where h.outcome <> 'returned'
  )
  select array_agg(h.run_id), array_agg(coalesce(h.end_status, case when h.again_at is null then 'pending' else 'scheduled' end)), jsonb_agg(jsonb_build_object('tenant_id', h.tenant_id, 'id', h.id, 'run_id', h.run_id, 'kind', h.kind, 'unique_key', h.unique_key, 'status', h.end_status)) filter (where h.linked),
    (select count(*) from given)
  into _accepted, _statuses, _linked, _given from judged h;
  if coalesce(cardinality(_accepted), 0) < _given then
    perform plinth_jobs.settle_ended((
      select jsonb_agg(e.job) from jsonb_array_elements(p_rows) as e (job) where e.job ->> 'outcome' <> 'completed' and (e.job ->> 'run_id')::uuid <> all (coalesce(_accepted, '{}'))));
  end if;
  return query select a.run_id, a.status, null::jsonb from unnest(_accepted, _statuses) as a (run_id, status);
  if _linked is not null then
    return query select null::uuid, 'failed', f from jsonb_array_elements(plinth_jobs.settle_linked(_linked)) as f;
  end if;
end
$$;
comment on function plinth_jobs.settle_others(jsonb) is 'The part of plinth_jobs.settle for outcomes other than completed.';
