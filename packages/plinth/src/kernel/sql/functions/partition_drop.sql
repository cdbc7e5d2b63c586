-- Definer, and the last gate: everything is asked again, on the table itself.
create or replace function plinth_kernel.partition_drop(p_id uuid) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '2s'
as $$
declare
  _row plinth_kernel.retention_partitions;
  _have record;
  _blocker text;
begin
  -- Whoever is placing a hold or lengthening a policy is waited for, and waits: a partition is everybody's.
  lock table plinth_kernel.retention_holds, plinth_kernel.retention_policies in share mode;
  select * into _row from plinth_kernel.retention_partitions as l where l.id = p_id for update;
  if _row.state = 'dropped' then
    return null;
  elsif _row.state is null or _row.state not in ('detached', 'archived', 'verified') or exists (select from pg_catalog.pg_inherits as i where i.inhrelid = _row.relation) then
    raise exception 'partition % is not detached', p_id using errcode = 'PL409', detail = '{"code":"kernel_partition_state"}', hint = 'Detach it first.';
  end if;
  _blocker := plinth_kernel.retention_blocker(_row.kind, _row.relation, _row.lower_id, _row.upper_id);
  if _blocker is not null then
    return _blocker;
  end if;
  select * into _have from plinth_kernel.partition_count(_row.relation, plinth_kernel.partition_column(_row.table_name::regclass));
  if _have.row_count > 0 and (_have.max_id >= _row.upper_id or (plinth_kernel.retention_archives(_row.kind) and (_row.state <> 'verified'
    or (_have.row_count, _have.min_id, _have.max_id) is distinct from (_row.row_count, _row.min_id, _row.max_id)))) then
    raise exception 'partition % has no verified archive of its % rows', _row.partition_name, _have.row_count
      using errcode = 'PL409', detail = '{"code":"kernel_archive_mismatch"}', hint = 'The partition is kept; run retention again to archive it anew.';
  end if;
  execute format('drop table %s', _row.relation::regclass);
  update plinth_kernel.retention_partitions as l
  set state = 'dropped', row_count = _have.row_count, min_id = _have.min_id, max_id = _have.max_id, ended_at = clock_timestamp() where l.id = p_id;
  return null;
end
$$;
comment on function plinth_kernel.partition_drop(uuid) is
  'Drops a detached partition that is past its time, held by nobody and, where its kind is archived, verified. Returns null, or why it is kept after all. Errors: kernel_archive_mismatch, kernel_partition_state. For plinth_worker.';
