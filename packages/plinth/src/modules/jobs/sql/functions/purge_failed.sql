create or replace function plinth_jobs.purge_failed(p_older_than interval default interval '30 days', p_limit integer default 1000) returns bigint
language sql volatile security invoker set search_path = ''
as $$
  with old as materialized (
    select j.tenant_id, j.id from plinth_jobs.jobs j
    where j.status = 'failed' and j.finished_at < (select clock_timestamp()) - p_older_than
    limit p_limit for update skip locked
  ), gone as (
    delete from plinth_jobs.jobs j using old o where j.status = 'failed' and j.tenant_id = o.tenant_id and j.id = o.id returning 1
  )
  select count(*) from gone
$$;
comment on function plinth_jobs.purge_failed(interval, integer) is 'Deletes dead letters that failed longer ago than p_older_than, at most p_limit. Returns how many.';
