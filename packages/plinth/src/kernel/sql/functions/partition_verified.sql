-- Definer: see partition_begin. The rows are counted here again: a worker that read back something else cannot get the partition dropped.
create or replace function plinth_kernel.partition_verified(p_id uuid, p_rows bigint, p_min_id uuid, p_max_id uuid, p_rows_sha256 text) returns void
language plpgsql security definer set search_path = ''
as $$
declare
  _row plinth_kernel.retention_partitions;
  _have record;
begin
  select * into _row from plinth_kernel.retention_partitions as l where l.id = p_id for update;
  if _row.state = 'verified' then
    return;
  elsif _row.state is distinct from 'archived' then
    raise exception 'partition % is not archived', p_id using errcode = 'PL409', detail = '{"code":"kernel_partition_state"}', hint = 'Archive it first.';
  end if;
  select * into _have from plinth_kernel.partition_count(_row.relation, plinth_kernel.partition_column(_row.table_name::regclass));
  if (_have.row_count, _have.min_id, _have.max_id) is distinct from (p_rows, p_min_id, p_max_id) or p_rows_sha256 is distinct from _row.rows_sha256 then
    raise exception 'the archive of % does not match it: % rows there, % here', _row.partition_name, p_rows, _have.row_count
      using errcode = 'PL409', detail = '{"code":"kernel_archive_mismatch"}', hint = 'The partition is kept; look at the storage, then run retention again to archive it anew.';
  end if;
  update plinth_kernel.retention_partitions as l
  set state = 'verified', row_count = _have.row_count, min_id = _have.min_id, max_id = _have.max_id, verified_at = clock_timestamp() where l.id = p_id;
end
$$;
comment on function plinth_kernel.partition_verified(uuid, bigint, uuid, uuid, text) is
  'Records that the archive was read back and holds the partition''s rows: count, id range and checksum must agree. Errors: kernel_archive_mismatch, kernel_partition_state. For plinth_worker.';
