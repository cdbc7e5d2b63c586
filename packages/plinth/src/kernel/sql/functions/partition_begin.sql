-- Definer: writes the record of partitions that leave, which no serving role may. Safe to repeat.
create or replace function plinth_kernel.partition_begin(p_kind text, p_partition text) returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  _table text;
  _part record;
  _blocker text;
  _id uuid;
begin
  select k.table_name into _table from plinth_kernel.retention_kinds as k where k.kind = p_kind and k.method = 'partition';
  if _table is null then
    raise exception 'no partitioned kind %', p_kind using errcode = 'PL404', detail = '{"code":"kernel_not_found"}', hint = 'Name a kind as in plinth.retention_policies.';
  end if;
  select * into _part from plinth_kernel.partition_list(_table::regclass) as p where p.name = p_partition;
  if _part.name is null then
    raise exception '% is not a partition of %', p_partition, _table using errcode = 'PL404', detail = '{"code":"kernel_not_found"}', hint = 'Name a partition with its schema.';
  end if;
  select l.id into _id from plinth_kernel.retention_partitions as l where l.relation = _part.relation and l.state not in ('dropped', 'returned');
  if _id is not null then
    return _id;
  end if;
  _blocker := plinth_kernel.retention_blocker(p_kind, _part.relation, _part.lower_id, _part.upper_id);
  if _blocker is not null then
    raise exception 'partition % stays: %', p_partition, _blocker using errcode = 'PL409', detail = '{"code":"kernel_partition_kept"}', hint = 'Change the policy or release the hold.';
  end if;
  insert into plinth_kernel.retention_partitions (kind, table_name, partition_name, relation, lower_id, upper_id, size_bytes)
  values (p_kind, _table, p_partition, _part.relation, _part.lower_id, _part.upper_id, pg_catalog.pg_total_relation_size(_part.relation))
  returning id into _id;
  return _id;
end
$$;
comment on function plinth_kernel.partition_begin(text, text) is 'Starts the way out of a partition that is past its time and held by nobody. Errors: kernel_not_found, kernel_partition_kept. For plinth_worker.';
