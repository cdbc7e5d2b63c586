create or replace function plinth.purge_queue(p_queue text, p_limit integer default 10000) returns bigint
language sql volatile security invoker set search_path = ''
as $$
  with a as materialized (
    select r.position from plinth_queue.ready r where r.tenant_id = plinth_kernel.require_tenant() and r.queue = p_queue order by r.position limit plinth_kernel.checked_limit(p_limit, 10000) for update skip locked
  ), b as materialized (
    select g.group_no, g.position from plinth_queue.grouped g where g.tenant_id = plinth_kernel.require_tenant() and g.queue = p_queue
    order by g.group_no, g.position limit greatest(0, coalesce(p_limit, 10000) - (select count(*) from a)) for update skip locked
  ), c as materialized (
    select h.id from plinth_queue.hidden h where h.tenant_id = plinth_kernel.require_tenant() and h.queue = p_queue
    order by h.visible_at limit greatest(0, coalesce(p_limit, 10000) - (select count(*) from a) - (select count(*) from b)) for update skip locked
  ), gone as (
    delete from plinth_queue.ready r using a where r.tenant_id = plinth_kernel.require_tenant() and r.queue = p_queue and r.position = a.position returning r.tenant_id, r.id, r.receives
  ), gone_groups as (
    delete from plinth_queue.grouped g using b where g.tenant_id = plinth_kernel.require_tenant() and g.queue = p_queue and g.group_no = b.group_no and g.position = b.position
    returning g.tenant_id, g.id, g.receives
  ), gone_hidden as (
    delete from plinth_queue.hidden h using c where h.tenant_id = plinth_kernel.require_tenant() and h.id = c.id returning h.tenant_id, h.id, h.receives
  ), ended as (
    insert into plinth_queue.done (tenant_id, id, outcome, receives)
    select x.tenant_id, x.id, 'purged', x.receives from (select * from gone union all select * from gone_groups union all select * from gone_hidden) x
    returning 1
  )
  select count(*) from ended
$$;
comment on function plinth.purge_queue(text, integer) is
  'Throws away up to p_limit messages of a queue, also those in flight, whose receipts are then lost; not the dead letters. Returns how many; call it until it returns 0. Errors: kernel_tenant_required, kernel_invalid_input (p_limit below 0).';
