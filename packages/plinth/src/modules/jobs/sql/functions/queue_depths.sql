-- Reads on from the first job of each queue, priority and tenant to p_most, never the backlog; of a queue and priority 100,000 in all, and then only the first
-- of each further tenant. A limit of tenants for each queue, not for all: those of the first queue would hide the others.
create or replace function plinth_jobs.queue_depths(p_queues text[] default null, p_most integer default 1000, p_limit integer default 1000)
returns table (queue text, priority smallint, tenant_id uuid, waiting integer, capped boolean, oldest_at timestamptz)
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
  _all constant integer := 100000;
  -- After every tenant and key, so that one step leaves the priority.
  _last_tenant constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  _last_key constant text := repeat(chr(1114111), 201);
begin
  return query
  with recursive band as (
    (select r.queue, r.priority from plinth_jobs.jobs_ready r order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1)
    union all
    select n.queue, n.priority from band b cross join lateral (
      select r.queue, r.priority from plinth_jobs.jobs_ready r
      where (r.queue, r.priority, r.tenant_id, r.concurrency_key) > (b.queue, b.priority, _last_tenant, _last_key)
      order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1) n
  )
  select b.queue::text, b.priority::smallint, l.tenant_id, least(l.found, l.most)::integer, l.found > l.most, l.oldest_at
  from band b cross join lateral (
    with recursive lane as (
      select f.tenant_id, 1 as nth, p_most as most, w.found, w.oldest_at, w.found as so_far from (
        select r.tenant_id from plinth_jobs.jobs_ready r where r.queue = b.queue and r.priority = b.priority and r.tenant_id >= coalesce(_tenant, '00000000-0000-0000-0000-000000000000')
        order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1) f
      cross join lateral (
        select count(*) as found, min(o.run_at) as oldest_at from (
          select r.run_at from plinth_jobs.jobs_ready r where r.queue = b.queue and r.priority = b.priority and r.tenant_id = f.tenant_id
          order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit p_most + 1) o) w
      where _tenant is null or f.tenant_id = _tenant
      union all
      select f.tenant_id, t.nth + 1, m.most, w.found, w.oldest_at, t.so_far + w.found from lane t cross join lateral (
        select r.tenant_id from plinth_jobs.jobs_ready r where r.queue = b.queue and r.priority = b.priority and r.tenant_id > t.tenant_id
        order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1) f
      cross join lateral (select case when t.so_far < _all then p_most else 1 end as most) m
      cross join lateral (
        select count(*) as found, min(o.run_at) as oldest_at from (
          select r.run_at from plinth_jobs.jobs_ready r where r.queue = b.queue and r.priority = b.priority and r.tenant_id = f.tenant_id
          order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit m.most + 1) o) w
      where _tenant is null and t.nth < p_limit
    )
    select x.* from lane x) l
  where p_queues is null or b.queue = any (p_queues);
end
$$;
comment on function plinth_jobs.queue_depths(text[], integer, integer) is
  'Jobs that may start now by queue, priority and tenant: how many wait (at most p_most are counted, of a queue and priority 100,000; capped: there are more) and since when the oldest of those has waited. At most p_limit tenants of a queue and priority. Others than workers see their tenant.';
