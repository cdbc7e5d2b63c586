create or replace view plinth.job_dependencies with (security_invoker = true) as
select p.tenant_id, p.gate_id as job_id, p.job_id as depends_on, coalesce(p.status, 'waiting') as status, g.on_failure, d.kind as job_type, d.result, d.error, p.ended_at as finished_at, p.created_at
from plinth_jobs.gate_parts p join plinth_jobs.gates g on g.tenant_id = p.tenant_id and g.id = p.gate_id and g.opens = 'job'
left join lateral (
  select j.kind, j.result, j.error from plinth_jobs.jobs j
  where j.status in ('completed', 'cancelled', 'failed') and j.tenant_id = p.tenant_id and j.id = p.job_id and p.status is not null limit 1) d on true;
comment on view plinth.job_dependencies is
  'Which job waits for which, and how that one ended: waiting, completed, failed or cancelled, with its result while it is kept (7 days). on_failure: what a failure means for the job that waits.';
