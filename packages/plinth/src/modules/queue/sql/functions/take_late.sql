-- Messages whose time has come: not acknowledged in time, delayed or released. One that was received often enough becomes a dead letter,
-- one older than the retention of its queue expires. The clock is read in a sub-query, once, so that it is an index condition.
create or replace function plinth_queue.take_late(p_tenant uuid, p_queue text, p_from timestamptz, p_limit integer, p_visibility interval, p_max_receives integer, p_oldest uuid, p_gone uuid)
returns table (id uuid, receives integer, visible_at timestamptz)
language sql volatile security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
  with late as materialized (
    select h.*, h.ctid as place from plinth_queue.hidden h
    where h.tenant_id = p_tenant and h.queue = p_queue and h.visible_at >= p_from and h.visible_at <= (select clock_timestamp())
    order by h.visible_at limit p_limit for update skip locked
  ), gone as (
    delete from plinth_queue.hidden h using late l
    where h.ctid = l.place and (l.receives - l.forgiven >= p_max_receives or coalesce(l.since, l.id) < p_oldest or l.id < p_gone)
    returning h.*
  ), expired as (
    insert into plinth_queue.done (tenant_id, id, outcome, receives) select g.tenant_id, g.id, 'expired', g.receives from gone g where coalesce(g.since, g.id) < p_oldest and g.id >= p_gone
  ), dead as (
    insert into plinth_queue.dead (tenant_id, id, queue, group_no, receives, error)
    select g.tenant_id, g.id, g.queue, g.group_no, g.receives, coalesce(g.error, 'not acknowledged in time') from gone g where coalesce(g.since, g.id) >= p_oldest and g.id >= p_gone
  ), received as (
    update plinth_queue.hidden h
    set receives = h.receives + 1, held = true, visible_at = clock_timestamp() + p_visibility
    from late l
    where h.ctid = l.place and l.receives - l.forgiven < p_max_receives and coalesce(l.since, l.id) >= p_oldest and l.id >= p_gone
    returning h.id, h.receives, h.visible_at
  )
  select r.id, r.receives, r.visible_at from received r
  union all
  select g.id, null, null from gone g
$$;
comment on function plinth_queue.take_late(uuid, text, timestamptz, integer, interval, integer, uuid, uuid) is 'Receives messages of a queue that were hidden and are due. visible_at null: it is over instead.';
