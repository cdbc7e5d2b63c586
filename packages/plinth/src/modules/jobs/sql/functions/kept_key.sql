-- What is kept on a dead letter is taken again when it is run again. A key until started, or for a time, would be free by then or is still held for its time:
-- taking it until done would leave out what comes while the job runs again.
create or replace function plinth_jobs.kept_key(p_tenant_id uuid, p_kind text, p_key text, p_job_id uuid) returns text
language sql stable security invoker set search_path = ''
as $$
  select u.key from plinth_jobs.unique_keys u where u.tenant_id = p_tenant_id and u.kind = p_kind and u.key = p_key and u.job_id = p_job_id and u.until = 'done'
$$;
comment on function plinth_jobs.kept_key(uuid, text, text, uuid) is 'The unique key of a job that fails for good, if it held it until done; else null.';
