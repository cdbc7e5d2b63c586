-- For metrics, across tenants: a step of an index a tenant and queue, then at most p_most entries of each, never the backlog.
create or replace function plinth_queue.depths(p_most integer default 1000, p_limit integer default 1000)
returns table (queue text, tenant_id uuid, waiting integer, oldest_at timestamptz)
language sql stable security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
  with recursive found as (
    select t.tenant_id, plinth_queue.queue_after(t.tenant_id, '') as queue, 1 as step from plinth_queue.first_tenant('00000000-0000-0000-0000-000000000000', true) as t (tenant_id)
    union all
    select n.tenant_id, n.queue, f.step + 1 from found f cross join lateral (
      select f.tenant_id, q.queue from plinth_queue.queue_after(f.tenant_id, f.queue) as q (queue) where q.queue is not null
      union all
      select t.tenant_id, plinth_queue.queue_after(t.tenant_id, '') from plinth_queue.first_tenant(f.tenant_id, false) as t (tenant_id)
      order by 1 limit 1) as n
    where f.step < p_limit
  )
  select f.queue, f.tenant_id, least(c.waiting, p_most)::integer, plinth_kernel.v7_time(c.oldest)
  from found f cross join lateral (
    select
      (select count(*) from (select from plinth_queue.ready r where r.tenant_id = f.tenant_id and r.queue = f.queue limit p_most) x)
      + (select count(*) from (select from plinth_queue.grouped g where g.tenant_id = f.tenant_id and g.queue = f.queue limit p_most) x)
      + (select count(*) from (select from plinth_queue.hidden h where h.tenant_id = f.tenant_id and h.queue = f.queue and h.visible_at <= clock_timestamp() limit p_most) x) as waiting,
      (select min(o.id::text)::uuid from (
        (select coalesce(r.since, r.id) as id from plinth_queue.ready r where r.tenant_id = f.tenant_id and r.queue = f.queue order by r.position limit 1)
        union all (select coalesce(h.since, h.id) from plinth_queue.hidden h where h.tenant_id = f.tenant_id and h.queue = f.queue and h.visible_at <= clock_timestamp() order by h.visible_at limit 1)
        union all (select coalesce(g.since, g.id) from plinth_queue.grouped g where g.tenant_id = f.tenant_id and g.queue = f.queue limit 1)) o) as oldest
  ) c
  where c.waiting > 0
$$;
comment on function plinth_queue.depths(integer, integer) is
  'Messages that may be received, or wait for their group, by queue and tenant: how many (at most p_most are counted) and since when the first of them. At most p_limit queues. Others than workers see their tenant.';
