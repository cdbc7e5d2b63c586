-- Definer: see partition_begin. Written again when an archive could not be read back and was made anew.
create or replace function plinth_kernel.partition_archived(p_id uuid, p_key text, p_bytes bigint, p_sha256 text, p_rows bigint, p_rows_sha256 text) returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update plinth_kernel.retention_partitions as l
  set state = 'archived', archive_key = p_key, archive_bytes = p_bytes, archive_sha256 = p_sha256, row_count = p_rows, rows_sha256 = p_rows_sha256, archived_at = clock_timestamp()
  where l.id = p_id and l.state in ('detached', 'archived');
  if not found then
    raise exception 'partition % is not detached', p_id using errcode = 'PL409', detail = '{"code":"kernel_partition_state"}', hint = 'Detach it first.';
  end if;
end
$$;
comment on function plinth_kernel.partition_archived(uuid, text, bigint, text, bigint, text) is 'Records the archive of a detached partition. For plinth_worker.';
