-- For metrics, across tenants. As long as there are no more than p_all messages they are all counted, in a tenth of a second, so that no tenant is left out, however many
-- there are. Of a backlog: a step of an index a tenant and queue, then at most p_most entries of each.
create or replace function plinth_queue.depths(p_most integer default 1000, p_limit integer default 1000, p_all integer default 50000)
returns table (queue text, tenant_id uuid, waiting integer, oldest_at timestamptz)
language sql stable security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
  with recursive size as materialized (
    select count(*) <= p_all as small from (
      (select from plinth_queue.ready limit p_all + 1) union all (select from plinth_queue.grouped limit p_all + 1) union all (select from plinth_queue.hidden limit p_all + 1) limit p_all + 1) x
  ), found as (
    select t.tenant_id, plinth_queue.queue_after(t.tenant_id, '') as queue, 1 as step from plinth_queue.first_tenant('00000000-0000-0000-0000-000000000000', true) as t (tenant_id)
    where not (select z.small from size z)
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
      + (select count(*) from (select from plinth_queue.hidden h where h.tenant_id = f.tenant_id and h.queue = f.queue and h.visible_at <= (select clock_timestamp()) limit p_most) x) as waiting,
      (select min(o.id::text)::uuid from (
        (select coalesce(r.since, r.id) as id from plinth_queue.ready r where r.tenant_id = f.tenant_id and r.queue = f.queue order by r.position limit 1)
        union all (select coalesce(h.since, h.id) from plinth_queue.hidden h where h.tenant_id = f.tenant_id and h.queue = f.queue and h.visible_at <= (select clock_timestamp()) order by h.visible_at limit 1)
        union all (select coalesce(g.since, g.id) from plinth_queue.grouped g where g.tenant_id = f.tenant_id and g.queue = f.queue limit 1)) o) as oldest
  ) c
  where c.waiting > 0
  union all
  select w.queue, w.tenant_id, least(count(*), p_most)::integer, plinth_kernel.v7_time(min(w.since::text)::uuid) from (
    select r.queue, r.tenant_id, coalesce(r.since, r.id) as since from plinth_queue.ready r
    union all
    select g.queue, g.tenant_id, coalesce(g.since, g.id) from plinth_queue.grouped g
    union all
    select h.queue, h.tenant_id, coalesce(h.since, h.id) from plinth_queue.hidden h where h.visible_at <= (select clock_timestamp())) w
  where (select z.small from size z)
  group by w.queue, w.tenant_id
$$;
comment on function plinth_queue.depths(integer, integer, integer) is
  'Messages that may be received, or wait for their group, by queue and tenant: how many (at most p_most are counted) and since when the first of them. Where more than p_all messages wait or are hidden, at most p_limit queues of tenants. Others than workers see their tenant.';
