-- A finished batch has its numbers; those of one that runs are counted, each to 10,000 at most.
create or replace view plinth.job_batches with (security_invoker = true) as
select g.id, g.tenant_id, g.name,
  case when g.finished_at is null then 'running' when g.failed + g.cancelled > 0 then 'failed' else 'completed' end as status,
  coalesce(g.completed + g.failed + g.cancelled, c.completed + c.failed + c.cancelled + c.open) as total,
  coalesce(g.completed, c.completed) as completed, coalesce(g.failed, c.failed) as failed, coalesce(g.cancelled, c.cancelled) as cancelled,
  coalesce(c.adding, false) as adding, g.actor_type, g.actor_id, g.correlation_id, g.causation_id, g.created_at, g.finished_at, g.error
from plinth_jobs.gates g left join lateral (
  select count(*) filter (where x.status = 'completed') as completed, count(*) filter (where x.status = 'failed') as failed, count(*) filter (where x.status = 'cancelled') as cancelled,
    count(*) filter (where x.status is null and x.job_id <> g.id) as open, bool_or(x.status is null and x.job_id = g.id) as adding
  from (select p.status, p.job_id from plinth_jobs.gate_parts p where p.tenant_id = g.tenant_id and p.gate_id = g.id and (p.status is null or p.job_id <> g.id) limit 10000) x
) c on g.finished_at is null
where g.opens = 'batch';
comment on view plinth.job_batches is
  'Batches of jobs: status running, completed or failed (a job failed or was cancelled), and how many of its jobs ended how; counts of a running batch stop at 10,000. adding: it is open for more; error: a callback that could not be enqueued. Kept for 30 days.';
