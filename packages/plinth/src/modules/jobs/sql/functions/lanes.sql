-- A loose index scan: one look-up a lane, however many jobs wait in it. A lane after p_from comes first, then the others: a caller that
-- hands in the last lane it served gives every lane its turn.
create or replace function plinth_jobs.lanes(p_queues text[] default null, p_limit integer default 1000)
returns table (queue text, priority smallint, tenant_id uuid, concurrency_key text)
language plpgsql volatile security definer set search_path = ''
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
begin
  return query
  with recursive found as (
    (select r.queue, r.priority, r.tenant_id, r.concurrency_key from plinth_jobs.jobs_ready r
     order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1)
    union all
    select n.queue, n.priority, n.tenant_id, n.concurrency_key from found f cross join lateral (
      select r.queue, r.priority, r.tenant_id, r.concurrency_key from plinth_jobs.jobs_ready r
      where (r.queue, r.priority, r.tenant_id, r.concurrency_key) > (f.queue, f.priority, f.tenant_id, f.concurrency_key)
      order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1) n
  )
  select f.queue::text, f.priority::smallint, f.tenant_id, f.concurrency_key::text from found f
  where (p_queues is null or f.queue = any (p_queues)) and (_tenant is null or f.tenant_id = _tenant) limit p_limit;
end
$$;
comment on function plinth_jobs.lanes(text[], integer) is
  'Lanes in which jobs may run now: a lane is a queue, priority, tenant and concurrency key. Of the given queues (null: all), at most p_limit. Others than workers see those of their tenant.';
