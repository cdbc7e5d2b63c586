-- One index step a table, however many messages a queue holds.
create or replace function plinth_queue.queue_after(p_tenant uuid, p_queue text) returns text
language sql stable security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
  select least(
    (select r.queue from plinth_queue.ready r where r.tenant_id = p_tenant and r.queue > p_queue order by r.tenant_id, r.queue limit 1),
    (select g.queue from plinth_queue.grouped g where g.tenant_id = p_tenant and g.queue > p_queue order by g.tenant_id, g.queue limit 1),
    (select h.queue from plinth_queue.hidden h where h.tenant_id = p_tenant and h.queue > p_queue order by h.tenant_id, h.queue limit 1),
    (select d.queue from plinth_queue.dead d where d.tenant_id = p_tenant and d.queue > p_queue order by d.tenant_id, d.queue limit 1))
$$;
comment on function plinth_queue.queue_after(uuid, text) is 'The first queue of a tenant after this name that holds a message, received, waiting or dead; null: none.';
