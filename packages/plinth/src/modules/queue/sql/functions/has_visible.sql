-- For those who wait: reads an index entry or two, of groups one for each that has a message in flight, and writes nothing.
create or replace function plinth_queue.has_visible(p_tenant uuid, p_queue text) returns boolean
language plpgsql stable security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
declare
  _cursor record;
begin
  select c.position, c.due_at into _cursor from plinth_queue.cursors c where c.tenant_id = p_tenant and c.queue = p_queue;
  return exists (select from plinth_queue.ready r where r.tenant_id = p_tenant and r.queue = p_queue and r.position >= coalesce(_cursor.position, 0))
    or exists (select from plinth_queue.hidden h where h.tenant_id = p_tenant and h.queue = p_queue and h.visible_at >= coalesce(_cursor.due_at, '-infinity')
      and h.visible_at <= (select clock_timestamp()))
    or exists (
      with recursive walk as (
        (select g.group_no, 1 as step from plinth_queue.grouped g where g.tenant_id = p_tenant and g.queue = p_queue order by g.tenant_id, g.queue, g.group_no limit 1)
        union all
        select n.group_no, w.step + 1 from walk w cross join lateral (
          select g.group_no from plinth_queue.grouped g where g.tenant_id = p_tenant and g.queue = p_queue and g.group_no > w.group_no
          order by g.tenant_id, g.queue, g.group_no limit 1) as n where w.step < 10000
      )
      select from walk w where not exists (select from plinth_queue.hidden h where h.tenant_id = p_tenant and h.queue = p_queue and h.group_no = w.group_no));
end
$$;
comment on function plinth_queue.has_visible(uuid, text) is 'True when a receiver of this queue would probably get something.';
