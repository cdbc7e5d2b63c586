-- A loose index scan: one look-up a lane, however many jobs wait in it, and at most 256 lanes of one queue, priority and tenant. Where nothing
-- is limited, paused or weighted that is all.
create or replace function plinth_jobs.lanes(p_queues text[] default null, p_limit integer default 1000, p_after_queue text default null, p_after_priority smallint default null,
  p_after_tenant uuid default null, p_after_key text default null)
returns table (queue text, priority smallint, tenant_id uuid, concurrency_key text, weight integer, room integer)
language plpgsql volatile security definer set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
as $$
declare
  _tenant uuid := plinth_kernel.acting_tenant();
begin
  if exists (select from plinth_jobs.limits) or exists (select from plinth_jobs.weights) or exists (select from plinth_jobs.pauses p where p.ends_at > (select clock_timestamp())) then
    return query select * from plinth_jobs.limited_lanes(p_queues, p_limit, p_after_queue, p_after_priority, p_after_tenant, p_after_key);
    return;
  end if;
  return query
  with recursive found as (
    (select r.queue, r.priority, r.tenant_id, r.concurrency_key, 1 as place from plinth_jobs.jobs_ready r
     -- Before the first: what every lane comes after.
     where (r.queue, r.priority, r.tenant_id, r.concurrency_key)
       > (coalesce(p_after_queue, ''), coalesce(p_after_priority, 0::smallint), coalesce(p_after_tenant, '00000000-0000-0000-0000-000000000000'), coalesce(p_after_key, ''))
     order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1)
    union all
    select n.queue, n.priority, n.tenant_id, n.concurrency_key, case when n.tenant_id = f.tenant_id and n.priority = f.priority and n.queue = f.queue then f.place + 1 else 1 end
    from found f cross join lateral (
      -- Apart, because a condition that is not stable is not looked up in an index.
      select case when f.place in (128, 256) then plinth_jobs.key_after(f.queue, f.priority, f.tenant_id, f.concurrency_key, f.place) else f.concurrency_key end as key offset 0) k
    cross join lateral (
      select r.queue, r.priority, r.tenant_id, r.concurrency_key from plinth_jobs.jobs_ready r
      where (r.queue, r.priority, r.tenant_id, r.concurrency_key) > (f.queue, f.priority, f.tenant_id, k.key)
      order by r.queue, r.priority, r.tenant_id, r.concurrency_key, r.seq limit 1) n
  )
  select f.queue::text, f.priority::smallint, f.tenant_id, f.concurrency_key::text, 1, null::integer from found f
  where (p_queues is null or f.queue = any (p_queues)) and (_tenant is null or f.tenant_id = _tenant) limit p_limit;
end
$$;
comment on function plinth_jobs.lanes(text[], integer, text, smallint, uuid, text) is
  'Lanes in which jobs may start now: a lane is a queue, priority, tenant and concurrency key. weight: share of the tenant; room: how many may start (null: any number), shared by all lanes of a scope. Of the given queues (null: all), at most p_limit, those that follow the lane p_after_queue, p_after_priority, p_after_tenant, p_after_key (null: from the first), of one queue, priority and tenant at most 256, some of them by chance. Others than workers see those of their tenant.';
