-- One index step a tenant, from p_from on. Tenants whose rows are of other queues cost a step each.
create or replace function plinth_queue.tenants_waiting(p_queue text, p_from uuid, p_to uuid, p_limit integer) returns setof uuid
language sql stable security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
as $$
  with recursive tenants as (
    (select t.tenant_id, 1 as step from plinth_queue.first_tenant(p_from, true) as t (tenant_id) where t.tenant_id <= p_to)
    union all
    select n.tenant_id, t.step + 1 from tenants t cross join lateral plinth_queue.first_tenant(t.tenant_id, false) as n (tenant_id)
    where n.tenant_id <= p_to and t.step < 10000
  )
  select t.tenant_id from tenants t where plinth_queue.has_visible(t.tenant_id, p_queue) limit p_limit
$$;
comment on function plinth_queue.tenants_waiting(text, uuid, uuid, integer) is 'Tenants between two ids that have something to receive in a queue of this name.';
