-- One message of each group that has none in flight: the walk makes one step of the index a group, whatever their backlog, and the row is
-- locked by its whole key, so that a receiver that comes too late gets nothing and never the message after it. What looks roundabout (lateral, limit,
-- places) keeps every step a probe of an index, whatever the planner believes of the tables' size.
create or replace function plinth_queue.take_groups(p_tenant uuid, p_queue text, p_from bigint, p_to bigint, p_limit integer, p_visibility interval, p_oldest uuid, p_gone uuid)
returns table (id uuid, receives integer, visible_at timestamptz)
language sql volatile security invoker set search_path = ''
set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
  with recursive walk as (
    (select g.group_no, g.position, 1 as step from plinth_queue.grouped g
     where g.tenant_id = p_tenant and g.queue = p_queue and g.group_no >= p_from and g.group_no <= p_to
     order by g.tenant_id, g.queue, g.group_no, g.position limit 1)
    union all
    select n.group_no, n.position, w.step + 1 from walk w cross join lateral (
      select g.group_no, g.position from plinth_queue.grouped g
      where g.tenant_id = p_tenant and g.queue = p_queue and g.group_no > w.group_no and g.group_no <= p_to
      order by g.tenant_id, g.queue, g.group_no, g.position limit 1
    ) as n where w.step < 10000
  ), heads as materialized (
    select w.group_no, w.position from walk w
    left join lateral (select true as is from plinth_queue.hidden h where h.tenant_id = p_tenant and h.queue = p_queue and h.group_no = w.group_no limit 1) busy on true
    where busy.is is null limit p_limit
  ), locked as materialized (
    select k.* from heads d cross join lateral (
      select g.*, g.ctid as place from plinth_queue.grouped g where g.tenant_id = p_tenant and g.queue = p_queue and g.group_no = d.group_no and g.position = d.position
      limit 1 for update skip locked) k
  ), received as (
    -- The index lets one message of a group be hidden. One that was sent before the head that this statement sees, and committed since, may have been received already.
    insert into plinth_queue.hidden (tenant_id, id, queue, visible_at, receives, forgiven, held, group_no, since)
    select l.tenant_id, l.id, l.queue, clock_timestamp() + p_visibility, l.receives + 1, l.forgiven, true, l.group_no, l.since from locked l
    where coalesce(l.since, l.id) >= p_oldest and l.id >= p_gone
    on conflict (tenant_id, queue, group_no) where group_no is not null do nothing
    returning id, receives, visible_at
  ), taken as (
    delete from plinth_queue.grouped g using locked l
    where g.ctid = l.place and (coalesce(l.since, l.id) < p_oldest or l.id < p_gone or l.id in (select r.id from received r))
    returning g.*
  ), expired as (
    insert into plinth_queue.done (tenant_id, id, outcome, receives) select t.tenant_id, t.id, 'expired', t.receives from taken t where coalesce(t.since, t.id) < p_oldest and t.id >= p_gone
  )
  select r.id, r.receives, r.visible_at from received r
  union all
  select t.id, null, null from taken t where coalesce(t.since, t.id) < p_oldest or t.id < p_gone
$$;
comment on function plinth_queue.take_groups(uuid, text, bigint, bigint, integer, interval, uuid, uuid) is
  'Receives the first message of groups between two group numbers that have no message in flight. visible_at null: it is over instead.';
