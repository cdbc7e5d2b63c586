create or replace function plinth_jobs.lost_in_a_row(p_tenant_id uuid, p_job_id uuid) returns bigint
language sql stable security invoker set search_path = ''
as $$
  select count(*) from plinth_jobs.attempts a
  where a.tenant_id = p_tenant_id and a.job_id = p_job_id and a.outcome = 'lost' and a.id > coalesce(
    (select b.id from plinth_jobs.attempts b where b.tenant_id = p_tenant_id and b.job_id = p_job_id and b.outcome <> 'lost' order by b.id desc limit 1), '00000000-0000-0000-0000-000000000000')
$$;
comment on function plinth_jobs.lost_in_a_row(uuid, uuid) is 'How many of the latest attempts at a job were lost with their worker, without another outcome in between.';
