-- The attempt that ended a job well is its own row; only the others are written down apart. That row keeps the transaction in which the job was
-- enqueued; the one in which it ended is not kept.
create or replace view plinth_jobs.every_attempt with (security_invoker = true) as
select a.tenant_id, a.id, a.job_id, a.kind, a.attempt, a.outcome, a.error, a.worker, a.started_at, a.correlation_id, a.causation_id, a.xact, a.created_at
from plinth_jobs.attempts a
union all
select j.tenant_id, j.run_id, j.id, j.kind, j.attempts, j.status, j.error, j.worker, j.started_at, j.correlation_id, j.id, null::xid8, j.finished_at
from plinth_jobs.jobs j where j.status in ('completed', 'cancelled') and j.started_at is not null and j.finished_at is not null;
comment on view plinth_jobs.every_attempt is 'Attempts that have ended, those that failed and those that ended their job; these without a xact.';
grant select on plinth_jobs.every_attempt to plinth_app, plinth_worker, plinth_reader;
