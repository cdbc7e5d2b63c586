create or replace view plinth.job_weights with (security_invoker = true) as
select w.tenant_id, nullif(w.queue, '') as queue, w.weight, w.set_by, w.updated_at from plinth_jobs.weights w;
comment on view plinth.job_weights is 'Shares of tenants beside others with jobs of the same priority; without a row it is 1. A null queue: all.';
