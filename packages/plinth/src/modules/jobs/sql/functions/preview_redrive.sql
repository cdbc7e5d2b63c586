create or replace function plinth.preview_redrive(p_filter jsonb default '{}', p_sample integer default 5) returns table (matching bigint, capped boolean, sample jsonb)
language sql stable security invoker set search_path = ''
as $$
  with found as materialized (
    select d.* from plinth_jobs.dead_letters(plinth_kernel.require_tenant(), plinth_jobs.checked_filter(p_filter), null, 10001) d
  )
  select least(count(*), 10000), count(*) > 10000,
    (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'job_type', s.kind, 'queue', s.queue, 'error', s.error, 'attempts', s.attempts, 'finished_at', s.finished_at) order by s.id), '[]')
     from (select f.* from found f order by f.id limit least(greatest(p_sample, 0), 100)) s)
  from found
$$;
comment on function plinth.preview_redrive(jsonb, integer) is
  'What plinth.redrive_jobs would take: how many dead letters meet the filter (counted to 10,000, then capped is true) and p_sample of them. Error: jobs_filter_invalid.';
