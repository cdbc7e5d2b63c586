-- Rows that another receiver holds are passed over, not waited for. Planner settings are fixed because the table empties and fills faster
-- than its statistics follow; rows are found again by their place, because by key an empty table's plan reads the whole queue for it.
create or replace function plinth_queue.take_ready(p_tenant uuid, p_queue text, p_from bigint, p_limit integer, p_visibility interval, p_oldest uuid, p_gone uuid)
returns table (id uuid, receives integer, visible_at timestamptz)
language sql volatile security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
  with picked as materialized (
    select r.ctid as place from plinth_queue.ready r
    where r.tenant_id = p_tenant and r.queue = p_queue and r.position >= p_from
    order by r.position limit p_limit for update skip locked
  ), taken as (
    delete from plinth_queue.ready r using picked p
    where r.ctid = p.place
    returning r.*
  ), expired as (
    insert into plinth_queue.done (tenant_id, id, outcome, receives) select t.tenant_id, t.id, 'expired', t.receives from taken t where coalesce(t.since, t.id) < p_oldest and t.id >= p_gone
  ), received as (
    insert into plinth_queue.hidden (tenant_id, id, queue, visible_at, receives, forgiven, held, since)
    select t.tenant_id, t.id, t.queue, clock_timestamp() + p_visibility, t.receives + 1, t.forgiven, true, t.since from taken t where coalesce(t.since, t.id) >= p_oldest and t.id >= p_gone
    returning id, receives, visible_at
  )
  select r.id, r.receives, r.visible_at from received r
  union all
  select t.id, null, null from taken t where coalesce(t.since, t.id) < p_oldest or t.id < p_gone
$$;
comment on function plinth_queue.take_ready(uuid, text, bigint, integer, interval, uuid, uuid) is 'Receives ready messages of a queue, the longest waiting first. visible_at null: it is over instead.';
