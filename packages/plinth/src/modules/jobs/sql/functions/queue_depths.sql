-- Reads on from the first job of each queue, priority and tenant to p_most, never the backlog.
create or replace function plinth_jobs.queue_depths(p_queues text[] default null, p_most integer default 1000, p_limit integer default 1000)
returns table (queue text, priority smallint, tenant_id uuid, waiting integer, capped boolean, oldest_at timestamptz)
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  -- After every key, so that one step leaves the tenant.
  _last_key constant text := repeat(chr(1114111), 201);
begin
  return query
  with recursive found as (
    (select r.queue, r.priority, r.tenant_id from plinth_jobs.jobs_ready r order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1)
    union all
    select n.queue, n.priority, n.tenant_id from found f cross join lateral (
      select r.queue, r.priority, r.tenant_id from plinth_jobs.jobs_ready r
      where (r.queue, r.priority, r.tenant_id, r.concurrency_key) > (f.queue, f.priority, f.tenant_id, _last_key)
      order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1) n
  ), lanes as (
    select f.* from found f where (p_queues is null or f.queue = any (p_queues)) and (_tenant is null or f.tenant_id = _tenant) limit p_limit
  )
  select l.queue::text, l.priority::smallint, l.tenant_id, least(w.n, p_most)::integer, w.n > p_most, w.oldest_at
  from lanes l cross join lateral (
    select count(*) as n, min(o.run_at) as oldest_at from (
      select r.run_at from plinth_jobs.jobs_ready r where r.queue = l.queue and r.priority = l.priority and r.tenant_id = l.tenant_id
      order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit p_most + 1) o) w;
end
$$;
comment on function plinth_jobs.queue_depths(text[], integer, integer) is
  'Jobs that may start now by queue, priority and tenant: how many wait (at most p_most are counted; capped: there are more) and since when the oldest of those has waited. At most p_limit rows. Others than workers see their tenant.';
