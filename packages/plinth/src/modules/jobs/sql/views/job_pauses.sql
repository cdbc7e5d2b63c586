create or replace view plinth.job_pauses with (security_invoker = true) as
select p.id, p.tenant_id, case when p.ends_at > statement_timestamp() then 'active' when p.resumed_by is not null then 'resumed' else 'expired' end as status,
  p.queue, p.kind as job_type, p.concurrency_key, p.reason, p.source, p.paused_by, p.created_at as paused_at, nullif(p.ends_at, 'infinity') as ends_at, p.resumed_by
from plinth_jobs.pauses p;
comment on view plinth.job_pauses is 'Pauses: jobs that every column that is not null names do not start until ends_at. Kept for 30 days after that. source installation: made by an operator.';
