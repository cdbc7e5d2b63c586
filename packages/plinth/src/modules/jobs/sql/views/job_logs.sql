create or replace view plinth.job_logs with (security_invoker = true) as
select l.id, l.tenant_id, l.job_id, l.run_id, l.attempt, l.message::text as message, l.fields, l.created_at as logged_at from plinth_jobs.logs l;
comment on view plinth.job_logs is 'Lines that handlers kept with their jobs (run.log), in the order of their ids. Kept for 7 days.';
