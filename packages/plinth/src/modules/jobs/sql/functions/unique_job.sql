create or replace function plinth.unique_job(p_job_type text, p_unique_key text) returns uuid
language sql stable security invoker set search_path = ''
as $$
  select u.job_id from plinth_jobs.unique_keys u
  where u.tenant_id = plinth_kernel.tenant_id() and u.kind = p_job_type and u.key = p_unique_key and (u.expires_at is null or u.expires_at > clock_timestamp())
    and (u.until <> 'started' or exists (
      select from plinth_jobs.jobs j where j.status in ('scheduled', 'pending') and j.tenant_id = u.tenant_id and j.id = u.job_id and j.attempts = 0))
$$;
comment on function plinth.unique_job(text, text) is 'Id of the job of this type that holds a unique key of the tenant now; null when the key is free.';
