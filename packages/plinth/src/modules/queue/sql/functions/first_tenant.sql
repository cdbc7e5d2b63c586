create or replace function plinth_queue.first_tenant(p_from uuid, p_inclusive boolean) returns setof uuid
language sql stable security invoker set search_path = '' set jit = off set enable_seqscan = off set enable_bitmapscan = off
as $$
  select f.tenant_id from (
    (select r.tenant_id from plinth_queue.ready r where r.tenant_id >= p_from and (p_inclusive or r.tenant_id > p_from) order by r.tenant_id limit 1)
    union all
    (select g.tenant_id from plinth_queue.grouped g where g.tenant_id >= p_from and (p_inclusive or g.tenant_id > p_from) order by g.tenant_id limit 1)
    union all
    (select h.tenant_id from plinth_queue.hidden h where h.tenant_id >= p_from and (p_inclusive or h.tenant_id > p_from) order by h.tenant_id limit 1)
  ) as f (tenant_id) order by 1 limit 1
$$;
comment on function plinth_queue.first_tenant(uuid, boolean) is 'The first tenant at or after an id that has messages in any queue.';
