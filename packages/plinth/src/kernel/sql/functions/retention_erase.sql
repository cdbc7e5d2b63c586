-- Definer: the tables give delete to nobody. By place and not by key, because the parts of some tables have none; partition by partition, so that the places are
-- those of one table. What others hold is left to the next call.
create or replace function plinth_kernel.retention_erase(p_tenant_id uuid, p_kind text, p_limit integer default 5000) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '500ms'
as $$
declare
  _unsettled integer[] := plinth_kernel.retention_unsettled();
  _wanted integer := least(greatest(p_limit, 1), 5000);
  _part regclass;
  _deleted integer;
  _sum integer := 0;
begin
  perform plinth_kernel.retention_refuse_tenant(p_tenant_id);
  if hashtext(p_tenant_id::text) = any (_unsettled) or hashtext('00000000-0000-0000-0000-000000000000') = any (_unsettled) then
    return 0;
  end if;
  for _part in
    -- A table without partitions is in no tree.
    select coalesce(t.relid, k.relation) from (
      select to_regclass(format('%I.%I', 'plinth_' || split_part(o.kind, '.', 1), split_part(o.kind, '.', 2))) as relation from plinth_kernel.retention_kinds as o where o.kind = p_kind and o.tenancy = 'tenant') as k
    left join lateral pg_partition_tree(k.relation) as t on true
    where k.relation is not null and coalesce(t.isleaf, true) order by 1
  loop
    execute format('delete from %1$s where tenant_id = $1 and ctid = any (array(select ctid from %1$s where tenant_id = $1 limit $2 for update skip locked))', _part)
      using p_tenant_id, _wanted - _sum;
    get diagnostics _deleted = row_count;
    _sum := _sum + _deleted;
    exit when _sum >= _wanted;
  end loop;
  return _sum;
end
$$;
comment on function plinth_kernel.retention_erase(uuid, text, integer) is
  'Deletes at most p_limit (5,000) rows of a kind of a tenant that is closed and not held, and returns how many; none while a hold or policy of it is being changed in an open transaction. For plinth_worker. Errors: kernel_tenant_kept.';
