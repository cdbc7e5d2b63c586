create or replace view plinth.archived_partitions with (security_invoker = true) as
select l.id, coalesce(plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000') as tenant_id, l.kind, l.partition_name, plinth_kernel.v7_time(l.lower_id) as from_at,
  plinth_kernel.v7_time(l.upper_id) as to_at, l.state, l.row_count, l.size_bytes, l.archive_key, l.archive_bytes, l.archive_sha256, l.rows_sha256, l.note, l.began_at,
  l.detached_at, l.archived_at, l.verified_at, l.ended_at
from plinth_kernel.retention_partitions as l;
comment on view plinth.archived_partitions is 'Partitions that left or are leaving, with their archives and checksums, for operators, and outside of tenants.';
