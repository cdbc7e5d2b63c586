create or replace view plinth.job_attempts with (security_invoker = true) as
select a.id, a.tenant_id, a.job_id, a.kind as job_type, a.attempt, a.outcome, a.error, split_part(a.worker, '#', 1) as worker, a.started_at, a.created_at as finished_at, a.correlation_id, a.causation_id
from plinth_jobs.every_attempt a;
comment on view plinth.job_attempts is 'Attempts at jobs that have ended: outcome completed, failed, cancelled, lost (the lease expired) or snoozed; id is the run_id. Kept for 30 days.';
