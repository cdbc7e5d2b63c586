create or replace view plinth.batch_jobs with (security_invoker = true) as
select p.tenant_id, p.gate_id as batch_id, p.job_id, coalesce(p.status, 'waiting') as status, p.created_at, p.ended_at as finished_at
from plinth_jobs.gate_parts p join plinth_jobs.gates g on g.tenant_id = p.tenant_id and g.id = p.gate_id and g.opens = 'batch'
where p.job_id <> p.gate_id;
comment on view plinth.batch_jobs is 'Jobs of batches, and how they ended: waiting (not over yet), completed, failed or cancelled.';
