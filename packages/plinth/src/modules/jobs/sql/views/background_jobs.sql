-- A plain view over one table, so that SELECT ... FOR UPDATE SKIP LOCKED and UPDATE through it work as on a table; that needs the
-- privilege to update on the view too. Row security is that of the caller.
create or replace view plinth.background_jobs with (security_invoker = true) as
select j.id, j.tenant_id, j.kind as job_type, j.name as job_name, j.queue, j.status, j.priority, j.payload, j.result, j.error, j.attempts,
  coalesce(j.max_attempts, (select k.max_attempts from plinth_jobs.kinds k where k.kind = j.kind), 3)::smallint as max_attempts,
  j.progress, j.progress_note, j.unique_key, j.concurrency_key, j.run_at, j.deadline, j.run_id, nullif(split_part(j.worker, '#', 1), '') as worker, j.cancel_requested_at, j.started_at, j.finished_at, j.created_at,
  j.actor_type, j.actor_id, j.correlation_id, j.causation_id
from plinth_jobs.jobs j;
comment on view plinth.background_jobs is
  'Jobs of the tenant: scheduled, pending, processing, failed (dead letters, kept for 30 days), completed and cancelled (kept for 7 days). Can be locked with FOR UPDATE SKIP LOCKED.';
grant update on plinth.background_jobs to plinth_app, plinth_worker;
