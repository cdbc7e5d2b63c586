-- The clock is read in a sub-query, once, so that the comparison is an index condition.
create or replace function plinth_jobs.recover(p_limit integer default 100) returns bigint
language sql volatile security invoker set search_path = ''
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
  with late as materialized (
    select j.tenant_id, j.id, j.run_id from plinth_jobs.jobs j
    where j.status = 'processing' and j.lease_until < (select clock_timestamp())
    order by j.lease_until limit p_limit for update skip locked
  )
  select count(*) from plinth_jobs.settle((
    select jsonb_agg(jsonb_build_object('tenant_id', l.tenant_id, 'id', l.id, 'run_id', l.run_id, 'outcome', 'lost', 'error', 'lease expired')) from late l))
$$;
comment on function plinth_jobs.recover(integer) is
  'Takes back jobs whose lease has expired by the clock of the database: counted as an attempt with the error "lease expired", pending again or failed. Returns how many.';
