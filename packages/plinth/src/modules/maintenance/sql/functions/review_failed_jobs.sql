create or replace function plinth_maintenance.review_failed_jobs() returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object('since', now() - interval '7 days', 'kinds', coalesce(jsonb_agg(to_jsonb(k) order by k.failed desc, k.kind), '[]'))
  from (
    select j.job_type as kind, count(*) as failed, min(j.finished_at) as first_at, max(j.finished_at) as last_at,
      left((array_agg(j.error order by j.finished_at desc nulls last))[1], 300) as last_error
    from plinth.background_jobs as j where j.status = 'failed' and j.finished_at > now() - interval '7 days'
    group by j.job_type order by count(*) desc limit 100) as k
$$;
comment on function plinth_maintenance.review_failed_jobs() is 'Jobs that were given up in the last 7 days, by kind, the worst 100. For plinth_reader.';
