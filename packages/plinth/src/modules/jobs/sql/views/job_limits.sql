create or replace view plinth.job_limits with (security_invoker = true) as
select l.id, l.tenant_id, l.per, nullif(l.queue, '') as queue, nullif(l.concurrency_key, '') as concurrency_key, l.max_running,
  case when l.max_running is null then null
    when l.per = 'queue' then (select count(*) from plinth_jobs.holds h where h.scope = 'queue/' || l.queue)
    when l.per = 'tenant' and l.tenant_id <> '00000000-0000-0000-0000-000000000000'
      then (select count(*) from plinth_jobs.holds h where h.scope = 'tenant/' || left(l.source, 1) || '/' || l.tenant_id || '/' || l.queue)
    when l.concurrency_key <> '' and l.tenant_id <> '00000000-0000-0000-0000-000000000000'
      then (select count(*) from plinth_jobs.holds h where h.scope = 'key/' || left(l.source, 1) || '/' || l.tenant_id || '/' || length(l.queue) || '/' || l.queue || '/' || l.concurrency_key) end::integer as running,
  l.rate, l.rate_period, l.burst, l.source, l.reason, l.set_by, l.created_at, l.updated_at
from plinth_jobs.limits l;
comment on view plinth.job_limits is
  'How many jobs run at once (max_running; running is how many do, where the limit counts one thing) and start in a time (rate in rate_period, burst at once). source installation: set by an operator.';
