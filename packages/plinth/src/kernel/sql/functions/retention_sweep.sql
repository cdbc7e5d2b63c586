-- Definer: the tables give delete to nobody. What may go is computed here, from the policies, by the database's clock; the arguments can
-- only narrow it. At most 5,000 rows a call, so that a transaction stays short.
create or replace function plinth_kernel.retention_sweep(p_kind text, p_tenant_id uuid default null, p_lower_id uuid default '00000000-0000-0000-0000-000000000000',
  p_upper_id uuid default 'ffffffff-ffff-ffff-ffff-ffffffffffff', p_limit integer default 5000) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '500ms'
as $$
declare
  _unsettled integer[];
  _doomed text;
  _table regclass;
  _same text;
  _deleted integer;
begin
  -- Once a hold is committed, nothing that it covers goes; the rows of whoever is placing one wait for the next sweep.
  _unsettled := plinth_kernel.retention_unsettled();
  if hashtext('00000000-0000-0000-0000-000000000000') = any (_unsettled) or hashtext(p_tenant_id::text) = any (_unsettled) then
    return 0;
  end if;
  _doomed := plinth_kernel.retention_doomed_sql(p_kind, p_tenant_id, p_lower_id, p_upper_id, _unsettled);
  if _doomed is null then
    return 0;
  end if;
  select k.table_name::regclass into _table from plinth_kernel.retention_kinds as k where k.kind = p_kind;
  select string_agg(format('d.%1$I = doomed.%1$I', c.name), ' and ') into _same from plinth_kernel.partition_columns(_table) as c where c.key_place is not null;
  execute format('with doomed as materialized (%s limit %s for update of r skip locked) delete from %s as d using doomed where %s',
    _doomed, least(greatest(p_limit, 1), 5000), _table, _same);
  get diagnostics _deleted = row_count;
  return _deleted;
end
$$;
comment on function plinth_kernel.retention_sweep(text, uuid, uuid, uuid, integer) is
  'Deletes at most p_limit (5,000) rows of a kind that are past their time and not held, and returns how many; none of tenants whose holds or policies are being changed in an open transaction. Call it until it returns 0. For plinth_worker.';
