-- Definer: making a partition needs the owner, and a worker may make only what the cards name.
create or replace function plinth_kernel.partition_premake_kind(p_kind text, p_ahead integer default 3) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '2s'
as $$
begin
  if p_ahead not between 1 and 40 then
    raise exception 'partitions are made 1 to 40 periods ahead, not %', p_ahead using errcode = 'PL400', detail = '{"code":"kernel_invalid_input"}', hint = 'Use 3, the default.';
  end if;
  return (
    select plinth_kernel.ensure_partitions(k.table_name::regclass, k.every, p_ahead)
    from plinth_kernel.retention_kinds as k where k.kind = p_kind and k.method = 'partition' and to_regclass(k.table_name) is not null);
end
$$;
comment on function plinth_kernel.partition_premake_kind(text, integer) is
  'Makes missing partitions of one kind, p_ahead periods ahead. Returns how many; null when there is no such table. For plinth_worker.';
