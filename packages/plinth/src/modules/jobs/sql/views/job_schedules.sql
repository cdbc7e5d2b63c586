-- The scheduler writes infinity where no tick is to come; readers see null.
create or replace view plinth.job_schedules with (security_invoker = true) as
select s.id, s.tenant_id, s.name, s.cron, s.time_zone, s.kind as job_type, s.payload, s.queue, s.priority, s.max_attempts, s.enabled, s.source,
  case when s.enabled and s.error is null then nullif(s.next_run_at, 'infinity') end as next_run_at, s.last_run_at, s.last_job_id, s.error,
  s.created_at, s.updated_at, s.missed_runs, s.catch_up_limit, s.jitter_ms, s.starts_at, s.ends_at, s.skip_if_running, s.note
from plinth_jobs.schedules s;
comment on view plinth.job_schedules is
  'Jobs that are enqueued by the clock. error: it stopped, and why; note: what the scheduler left out or made up last. Those of the modules (source card) belong to the system tenant.';
