-- The one place that decides whether a whole partition may go; asked before the detach and again before the drop.
create or replace function plinth_kernel.retention_blocker(p_kind text, p_relation oid, p_lower_id uuid, p_upper_id uuid) returns text
language plpgsql stable set search_path = ''
as $$
declare
  _nil constant uuid := '00000000-0000-0000-0000-000000000000';
  _kind plinth_kernel.retention_kinds;
  _keep interval;
  _found record;
begin
  select * into _kind from plinth_kernel.retention_kinds as k where k.kind = p_kind and k.method = 'partition';
  if not found then
    return 'no partitioned kind ' || coalesce(p_kind, 'null');
  end if;
  _keep := plinth_kernel.retention_keep(p_kind, _nil);
  if _keep is null then
    return 'kept forever';
  elsif p_upper_id > plinth_kernel.retention_cutoff(p_kind, _nil) then
    return 'younger than the policy';
  elsif p_upper_id > plinth_kernel.v7_floor((date_trunc(_kind.every, now() at time zone 'UTC') - ('1 ' || _kind.every)::interval) at time zone 'UTC') then
    -- ids are made by clients: the period before this one stays open for those that come late.
    return 'younger than one whole period';
  end if;
  if _kind.condition is not null then
    execute format('select true as kept where exists (select from %s as r where %s)', p_relation::regclass, _kind.condition) into _found;
    if _found.kept then
      return 'rows in it are still in use: ' || _kind.condition;
    end if;
  end if;
  execute format($sql$
    select h.tenant_id, h.reason, h.placed_at from plinth_kernel.retention_holds as h
    where h.released_at is null and (h.kind is null or h.kind = %1$L) and exists (
      select from %2$s as r cross join lateral (select (%3$s)::text as plinth_entity) as e
      where (h.tenant_id = %4$L or %5$s) and (h.entity is null or %6$s or e.plinth_entity like h.entity))
    order by h.placed_at limit 1 $sql$,
    p_kind, p_relation::regclass, coalesce(_kind.entity, 'null'), _nil, case _kind.tenancy when 'tenant' then 'r.tenant_id = h.tenant_id' else 'false' end, (_kind.entity is null)::text)
    into _found;
  if _found.reason is not null then
    return format('held for %s since %s: %s', case when _found.tenant_id = _nil then 'every tenant' else 'tenant ' || _found.tenant_id end,
      to_char(_found.placed_at at time zone 'UTC', 'YYYY-MM-DD'), _found.reason);
  end if;
  if _kind.tenancy = 'tenant' then
    execute format('select p.tenant_id, p.keep, true as kept from plinth_kernel.retention_policies as p where p.kind = %1$L and p.tenant_id <> %2$L
      and exists (select from %3$s as r where r.tenant_id = p.tenant_id and r.%4$I >= plinth_kernel.retention_cutoff(%1$L, p.tenant_id)) limit 1',
      p_kind, _nil, p_relation::regclass, plinth_kernel.partition_column(_kind.table_name::regclass))
      into _found;
    if _found.kept then
      return format('tenant %s keeps it %s', _found.tenant_id, coalesce('for ' || _found.keep::text, 'forever'));
    end if;
  end if;
  return 'needed by the feed: ' || plinth_kernel.retention_feed_hold(p_relation);
end
$$;
comment on function plinth_kernel.retention_blocker(text, oid, uuid, uuid) is
  'Why a partition may not be dropped (its age, a legal hold, a tenant that keeps its rows longer, a feed cursor), or null when it may.';
