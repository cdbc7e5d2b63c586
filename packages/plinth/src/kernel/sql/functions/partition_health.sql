create or replace function plinth_kernel.partition_health()
returns table (kind text, every text, partitions integer, ahead integer, oldest timestamptz, newest timestamptz, detach_pending text)
language sql stable set search_path = ''
as $$
  select k.kind, k.every, count(p.relation)::integer,
    (count(*) filter (where p.lower_id > plinth_kernel.v7_floor(now())))::integer,
    plinth_kernel.v7_time(min(p.lower_id::text)::uuid), plinth_kernel.v7_time(max(p.upper_id::text)::uuid),
    min(p.name) filter (where p.detach_pending)
  from plinth_kernel.retention_kinds as k
  left join lateral plinth_kernel.partition_list(to_regclass(k.table_name)) as p on true
  where k.method = 'partition' and to_regclass(k.table_name) is not null
  group by k.kind, k.every
  order by k.kind
$$;
comment on function plinth_kernel.partition_health() is
  'For every partitioned kind: how many partitions there are, how many whole periods are ready ahead of now (fewer than 2 is an alarm), and a detach that was cut off.';
