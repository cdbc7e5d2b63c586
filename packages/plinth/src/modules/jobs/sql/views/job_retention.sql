create or replace view plinth.job_retention with (security_invoker = true) as
select q.id, q.tenant_id, q.queue, q.keep, q.reason, q.set_by, q.updated_at from plinth_jobs.queue_retention q;
comment on view plinth.job_retention is 'Queues whose finished jobs are kept for another time than the rest (plinth.retention_policies). Only what the tenant itself has set; operators see all, the nil tenant is everybody.';
