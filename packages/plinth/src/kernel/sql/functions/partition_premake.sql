-- For callers in SQL: all kinds in their transaction. Workers make those of one kind in a transaction each, so that a table that somebody has locked keeps no other from its
-- own. A table that is gone with its module keeps none of the others from theirs.
create or replace function plinth_kernel.partition_premake(p_ahead integer default 3)
returns table (kind text, made integer)
language sql volatile security definer set search_path = ''
as $$
  select m.kind, m.made from (
    select k.kind, plinth_kernel.partition_premake_kind(k.kind, p_ahead) as made from plinth_kernel.retention_kinds as k where k.method = 'partition' order by k.kind) as m
  where m.made is not null
$$;
comment on function plinth_kernel.partition_premake(integer) is 'Makes missing partitions of every partitioned kind, p_ahead periods ahead. For plinth_worker.';
