-- A fold may be read in a transaction that cannot write; then there is no snapshot, and the next reader makes it.
create or replace function plinth_events.save_snapshot(p_aggregate_type text, p_aggregate_id text, p_fold text, p_version bigint, p_state jsonb, p_keep integer default 3) returns boolean
language plpgsql volatile security invoker
as $$
declare
  _tenant_id pg_catalog.uuid := plinth_kernel.require_tenant();
begin
  if pg_catalog.current_setting('transaction_read_only')::boolean then
    return false;
  end if;
  insert into plinth_events.snapshots (tenant_id, aggregate_type, aggregate_id, fold, version, state)
  values (_tenant_id, p_aggregate_type, p_aggregate_id, p_fold, p_version, p_state) on conflict do nothing;
  delete from plinth_events.snapshots as s
  where s.tenant_id = _tenant_id and s.aggregate_type = p_aggregate_type and s.aggregate_id = p_aggregate_id and s.fold = p_fold
    and s.version <= (select o.version from plinth_events.snapshots as o
      where o.tenant_id = _tenant_id and o.aggregate_type = p_aggregate_type and o.aggregate_id = p_aggregate_id and o.fold = p_fold
      order by o.version desc offset p_keep limit 1);
  return true;
end
$$;
comment on function plinth_events.save_snapshot(text, text, text, bigint, jsonb, integer) is
  'Keeps the state of a fold at a version, and of its snapshots the p_keep newest (default 3). False, and nothing is written, in a read-only transaction.';
