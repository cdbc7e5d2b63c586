-- Definer: see partition_begin. A hold that came between the detach and the drop gets its rows back.
create or replace function plinth_kernel.partition_return(p_id uuid) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '2s'
as $$
declare
  _row plinth_kernel.retention_partitions;
  _blocker text;
begin
  select * into _row from plinth_kernel.retention_partitions as l where l.id = p_id for update;
  if _row.state is null or _row.state not in ('detached', 'archived', 'verified') then
    return _row.state;
  end if;
  _blocker := plinth_kernel.retention_blocker(_row.kind, _row.relation, _row.lower_id, _row.upper_id);
  if _blocker is null then
    return _row.state;
  end if;
  execute format('alter table %s attach partition %s for values from (%L) to (%L)', _row.table_name::regclass, _row.relation::regclass, _row.lower_id, _row.upper_id);
  update plinth_kernel.retention_partitions as l set state = 'returned', note = _blocker, ended_at = clock_timestamp() where l.id = p_id;
  return 'returned';
end
$$;
comment on function plinth_kernel.partition_return(uuid) is 'Attaches a detached partition again when something keeps it after all; returns its state. For plinth_worker.';
