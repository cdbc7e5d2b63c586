-- Of each table at most 10,001 entries of an index, whatever other queues and tenants have in it.
create or replace function plinth.queue_depth(p_queue text default null)
returns table (queue text, pending integer, processing integer, scheduled integer, failed integer, capped boolean, oldest_seconds double precision)
language sql stable security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off
as $$
  with recursive filled as (
    select plinth_queue.queue_after(plinth_kernel.require_tenant(), '') as name, 1 as step where p_queue is null
    union all
    select plinth_queue.queue_after(plinth_kernel.tenant_id(), f.name), f.step + 1 from filled f where f.name is not null and f.step < 1000
  ), names as (
    select f.name from filled f where f.name is not null union
    select q.name::text as name from plinth_queue.queues q where q.tenant_id = plinth_kernel.require_tenant() and (p_queue is null or q.name = p_queue)
    union select c.queue from plinth_queue.cursors c where c.tenant_id = plinth_kernel.require_tenant() and (p_queue is null or c.queue = p_queue)
    union select p_queue where p_queue is not null
    order by 1 limit 1000
  )
  select n.name, least(c.ready + c.grouped + c.due, 10000), least(w.held, 10000), least(w.later, 10000), least(c.dead, 10000),
    greatest(c.ready + c.grouped + c.due, w.held, w.later, c.dead) > 10000,
    greatest(0, extract(epoch from clock_timestamp() - plinth_kernel.v7_time(c.oldest)))::double precision
  from names n cross join lateral (
    select
      (select count(*) from (select from plinth_queue.ready r where r.tenant_id = plinth_kernel.tenant_id() and r.queue = n.name limit 10001) x)::integer as ready,
      (select count(*) from (select from plinth_queue.grouped g where g.tenant_id = plinth_kernel.tenant_id() and g.queue = n.name limit 10001) x)::integer as grouped,
      (select count(*) from (select from plinth_queue.hidden h where h.tenant_id = plinth_kernel.tenant_id() and h.queue = n.name and h.visible_at <= (select clock_timestamp()) limit 10001) x)::integer as due,
      (select count(*) from (select from plinth_queue.dead d where d.tenant_id = plinth_kernel.tenant_id() and d.queue = n.name limit 10001) x)::integer as dead,
      (select min(o.id::text)::uuid from (
        (select coalesce(r.since, r.id) as id from plinth_queue.ready r where r.tenant_id = plinth_kernel.tenant_id() and r.queue = n.name order by r.position limit 1)
        union all (select coalesce(h.since, h.id) from plinth_queue.hidden h where h.tenant_id = plinth_kernel.tenant_id() and h.queue = n.name and h.visible_at <= (select clock_timestamp()) order by h.visible_at limit 1)
        union all (select coalesce(g.since, g.id) from plinth_queue.grouped g where g.tenant_id = plinth_kernel.tenant_id() and g.queue = n.name limit 1)) o) as oldest
  ) c cross join lateral (
    -- In one look, in the order of the index: what is delayed may be a million, of which none is held.
    select count(*) filter (where x.held)::integer as held, count(*) filter (where not x.held)::integer as later
    from (select h.held from plinth_queue.hidden h where h.tenant_id = plinth_kernel.tenant_id() and h.queue = n.name and h.visible_at > (select clock_timestamp())
      order by h.visible_at limit 20001) x) w
$$;
comment on function plinth.queue_depth(text) is
  'How many messages of a queue (null: of every queue that holds one, was configured or received from) are pending, processing (in flight), scheduled (delayed or released) and failed (dead letters), each counted up to 10,000 (processing and scheduled: of the first 20,000 that become due); and how long the oldest that may be received has waited, in seconds, since it was sent, its delay ended or it was redriven. Errors: kernel_tenant_required.';
