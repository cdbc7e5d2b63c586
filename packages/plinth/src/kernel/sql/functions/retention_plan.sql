-- Definer: a dry run must see what it would remove. p_exact counts every row; without it a sweep is planned as soon as one row is found.
create or replace function plinth_kernel.retention_plan(p_kinds text[] default null, p_exact boolean default true)
returns table (kind text, action text, target text, tenant_id uuid, row_count bigint, size_bytes bigint, lower_id uuid, upper_id uuid, reason text)
language plpgsql stable security definer set search_path = ''
as $$
declare
  _nil constant uuid := '00000000-0000-0000-0000-000000000000';
  _kind plinth_kernel.retention_kinds;
  _newest uuid;
  _part record;
begin
  for _kind in select * from plinth_kernel.retention_kinds as k where k.method <> 'forever' and to_regclass(k.table_name) is not null and (p_kinds is null or k.kind = any (p_kinds)) order by k.kind loop
    return query
      select _kind.kind, 'finish'::text, l.partition_name, null::uuid, l.row_count, l.size_bytes, l.lower_id, l.upper_id, format('was left at %s', l.state)
      from plinth_kernel.retention_partitions as l where l.kind = _kind.kind and l.state not in ('dropped', 'returned') order by l.lower_id;
    if _kind.method = 'delete' then
      return query select * from plinth_kernel.retention_plan_sweeps(_kind.kind, array(select null::uuid union all
        select p.tenant_id from plinth_kernel.retention_policies as p where p.kind = _kind.kind and p.tenant_id <> _nil), _nil, 'ffffffff-ffff-ffff-ffff-ffffffffffff', p_exact);
      continue;
    end if;
    -- Below the newest cutoff of anybody there may be something to do; above it nothing is read.
    select max(c::text)::uuid into _newest from (select plinth_kernel.retention_cutoff(_kind.kind, _nil) as c union all
      select plinth_kernel.retention_cutoff(p.kind, p.tenant_id) from plinth_kernel.retention_policies as p where p.kind = _kind.kind) as cutoffs;
    for _part in
      select p.*, plinth_kernel.retention_blocker(_kind.kind, p.relation, p.lower_id, p.upper_id) as blocker, p.upper_id <= plinth_kernel.retention_cutoff(_kind.kind, _nil) as due
      from plinth_kernel.partition_list(_kind.table_name::regclass) as p
      where p.lower_id < _newest and not exists (select from plinth_kernel.retention_partitions as l where l.relation = p.relation and l.state not in ('dropped', 'returned'))
    loop
      if _part.due then
        kind := _kind.kind; action := case when _part.blocker is null then 'drop' else 'keep' end; target := _part.name; tenant_id := null;
        lower_id := _part.lower_id; upper_id := _part.upper_id; reason := _part.blocker; size_bytes := pg_catalog.pg_total_relation_size(_part.relation);
        execute case when p_exact then format('select count(*) from %s', _part.relation::regclass)
          else format('select greatest(reltuples, 0)::bigint from pg_catalog.pg_class where oid = %s', _part.relation) end into row_count;
        return next;
      end if;
      if _part.blocker is not null and _kind.tenancy = 'tenant' then
        -- Only tenants that asked for a shorter life lose rows here; and, where nothing is archived, everybody whose partition is past its
        -- time but kept for somebody else. An archived kind waits, so that its archive has all the rows.
        return query select * from plinth_kernel.retention_plan_sweeps(_kind.kind,
          case when _part.due and not plinth_kernel.retention_archives(_kind.kind) then array(select plinth_kernel.retention_tenants(_part.relation))
          else plinth_kernel.retention_early(_kind.kind, _part.relation) end,
          _part.lower_id, _part.upper_id, p_exact);
      end if;
    end loop;
  end loop;
end
$$;
comment on function plinth_kernel.retention_plan(text[], boolean) is
  'What retention would do now, by kind (null: all): drop and keep (whole partitions, with the reason), sweep (rows in batches, one tenant or everybody without a policy of its own), finish (a partition that was left on its way). Reads only. For plinth_worker.';
