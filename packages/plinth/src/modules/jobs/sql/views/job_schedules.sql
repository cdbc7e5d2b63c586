create or replace view plinth.job_schedules with (security_invoker = true) as
select s.id, s.tenant_id, s.name, s.cron, s.time_zone, s.kind as job_type, s.payload, s.queue, s.priority, s.max_attempts, s.enabled, s.source, s.next_run_at, s.last_run_at, s.last_job_id, s.error,
  s.created_at, s.updated_at
from plinth_jobs.schedules s;
comment on view plinth.job_schedules is 'Jobs that are enqueued by the clock. Those of the modules (source card) belong to the system tenant.';
