-- Dry run and sweep ask the same text, so that the one tells exactly what the other does. The kind's own SQL (condition, entity) comes from
-- the card and was written by the owner; everything else is quoted.
create or replace function plinth_kernel.retention_doomed_sql(p_kind text, p_tenant_id uuid, p_lower_id uuid, p_upper_id uuid, p_unsettled integer[] default '{}') returns text
language plpgsql stable set search_path = ''
as $$
declare
  _nil constant uuid := '00000000-0000-0000-0000-000000000000';
  _kind plinth_kernel.retention_kinds;
  _keep interval := plinth_kernel.retention_keep(p_kind, coalesce(p_tenant_id, '00000000-0000-0000-0000-000000000000'));
  _key text;
  _age text;
  _where text[] := '{}';
  _ordered boolean;
begin
  select * into _kind from plinth_kernel.retention_kinds as k where k.kind = p_kind;
  if not found or _kind.method = 'forever' or _keep is null then
    return null;
  end if;
  _age := case _kind.method when 'partition' then plinth_kernel.partition_column(_kind.table_name::regclass) else _kind.age_column end;
  select string_agg(format('r.%I', c.name), ', ' order by c.key_place) into _key
  from plinth_kernel.partition_columns(_kind.table_name::regclass) as c where c.key_place is not null;
  if _kind.tenancy = 'tenant' and p_tenant_id is not null then
    _where := _where || format('r.tenant_id = %L', p_tenant_id);
  elsif _kind.tenancy = 'tenant' and _kind.method = 'delete' then
    _where := _where || format('not exists (select from plinth_kernel.retention_policies as plinth_own where plinth_own.kind = %L and plinth_own.tenant_id = r.tenant_id)', p_kind);
  end if;
  if _kind.tenancy = 'tenant' and p_tenant_id is null and p_unsettled <> '{}' then
    _where := _where || format('pg_catalog.hashtext(r.tenant_id::text) <> all (%L::integer[])', p_unsettled);
  end if;
  if _kind.method = 'partition' then
    if p_tenant_id is null then
      return null;
    end if;
    _where := _where || format('r.%1$I >= %2$L and r.%1$I < %3$L', _age, p_lower_id, least(p_upper_id, plinth_kernel.retention_cutoff(p_kind, p_tenant_id)))
      -- What keeps a partition from leaving is not taken out of it either.
      || coalesce('(' || _kind.condition || ') is not true', 'true');
    if exists (select from plinth_kernel.feed_consumers as f where f.feed = _kind.table_name) then
      _where := _where || format('not exists (select from plinth_kernel.feed_windows(%L) as plinth_window where plinth_window.shard = r.shard and r.xact >= plinth_window.floor
        and plinth_kernel.feed_unread(r.xact, r.position, plinth_window.s1, plinth_window.s2, plinth_window.last, plinth_window.above, plinth_window.up_to))', _kind.table_name);
    end if;
  else
    _where := _where || format('r.%I < %L', _age, now() - _keep) || coalesce('(' || _kind.condition || ')', 'true');
  end if;
  if exists (select from plinth_kernel.retention_holds as h where h.released_at is null and (h.kind is null or h.kind = p_kind)) then
    _where := _where || format('not exists (select from plinth_kernel.retention_holds as plinth_hold where plinth_hold.released_at is null
      and (plinth_hold.kind is null or plinth_hold.kind = %L) and (plinth_hold.tenant_id = %L or %s) and (plinth_hold.entity is null or %s or e.plinth_entity like plinth_hold.entity))',
      p_kind, _nil, case _kind.tenancy when 'tenant' then 'plinth_hold.tenant_id = r.tenant_id' else 'false' end, (_kind.entity is null)::text);
  end if;
  -- Oldest first where an index gives that order. Elsewhere a sort would read the whole table for every batch, while the heap's own order, which
  -- is about that of time, lets each batch stop as soon as it is full.
  _ordered := _kind.method = 'partition' or exists (
    select from pg_catalog.pg_index as i join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = _kind.table_name::regclass and a.attname = _age and i.indpred is null);
  return format('select %s from %s as r cross join lateral (select (%s)::text as plinth_entity) as e where %s%s', _key, _kind.table_name::regclass,
    coalesce(_kind.entity, 'null'), array_to_string(_where, ' and '), case when _ordered then format(' order by r.%I', _age) else '' end);
end
$$;
comment on function plinth_kernel.retention_doomed_sql(text, uuid, uuid, uuid, integer[]) is
  'Text of the query for the keys of rows that are past their time, not held and read by every consumer of the feed: of one tenant, or (null, tables swept by delete) of every tenant without a policy of its own and not among p_unsettled (retention_unsettled). Null when nothing may go.';
