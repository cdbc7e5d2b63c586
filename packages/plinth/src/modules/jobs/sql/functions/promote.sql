-- The clock is read in a sub-query, once: compared directly it is volatile, no index condition, and every scheduled job would be read.
create or replace function plinth_jobs.promote(p_limit integer) returns bigint
language sql volatile security invoker set search_path = ''
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
  with due as materialized (
    select j.tenant_id, j.id from plinth_jobs.jobs j
    where j.status = 'scheduled' and j.run_at <= (select clock_timestamp())
    order by j.run_at limit p_limit for update skip locked
  ), promoted as (
    update plinth_jobs.jobs j set status = 'pending' from due d
    where j.status = 'scheduled' and j.tenant_id = d.tenant_id and j.id = d.id
    returning 1
  )
  select count(*) from promoted
$$;
comment on function plinth_jobs.promote(integer) is 'Makes scheduled jobs pending whose time has come, oldest first. Called by every claim. Returns how many.';
