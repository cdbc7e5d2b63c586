-- Brings a leaving partition to `detached`, or tells what stands in the way. p_force: detach it here, plainly, which takes ACCESS EXCLUSIVE on
-- the parent, hence the short lock_timeout; without it only what a concurrent detach has done is recorded. FINALIZE is allowed in a
-- transaction, DETACH CONCURRENTLY is not.
create or replace function plinth_kernel.partition_detach(p_id uuid, p_force boolean default false) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '200ms'
as $$
declare
  _row plinth_kernel.retention_partitions;
  _pending boolean;
  _blocker text;
begin
  select * into _row from plinth_kernel.retention_partitions as l where l.id = p_id for update;
  if _row.state is distinct from 'leaving' then
    return _row.state;
  end if;
  select i.inhdetachpending into _pending from pg_catalog.pg_inherits as i where i.inhrelid = _row.relation and i.inhparent = _row.table_name::regclass;
  if not _pending then
    -- Still attached and whole: whoever kept or held it meanwhile wins.
    _blocker := plinth_kernel.retention_blocker(_row.kind, _row.relation, _row.lower_id, _row.upper_id);
    if _blocker is not null then
      update plinth_kernel.retention_partitions as l set state = 'returned', note = _blocker, ended_at = clock_timestamp() where l.id = p_id;
      return 'returned';
    end if;
  end if;
  if _pending is not null and not p_force then
    return case when _pending then 'pending' else 'attached' end;
  elsif _pending then
    execute format('alter table %s detach partition %s finalize', _row.table_name::regclass, _row.relation::regclass);
  elsif not _pending then
    execute format('alter table %s detach partition %s', _row.table_name::regclass, _row.relation::regclass);
  end if;
  update plinth_kernel.retention_partitions as l set state = 'detached', detached_at = clock_timestamp() where l.id = p_id;
  return 'detached';
end
$$;
comment on function plinth_kernel.partition_detach(uuid, boolean) is
  'State of a leaving partition after recording, or with p_force after doing, its detach: attached, pending (a concurrent detach was cut off), detached, returned (it is kept after all), or a later state. For plinth_worker.';
