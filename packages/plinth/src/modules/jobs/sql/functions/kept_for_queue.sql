create or replace function plinth_jobs.kept_for_queue(p_tenant_id uuid, p_queue text, p_finished_at timestamptz) returns boolean
language sql stable security invoker set search_path = ''
as $$
  select coalesce((
    select p_finished_at >= now() - q.keep from plinth_jobs.queue_retention q
    where q.queue = p_queue and q.tenant_id in (p_tenant_id, '00000000-0000-0000-0000-000000000000')
    order by q.tenant_id = p_tenant_id desc limit 1), false)
$$;
comment on function plinth_jobs.kept_for_queue(uuid, text, timestamptz) is 'Whether a job that ended then is still kept because of a policy of its queue; false when there is none.';
