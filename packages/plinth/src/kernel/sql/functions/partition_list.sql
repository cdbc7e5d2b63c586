create or replace function plinth_kernel.partition_list(p_table regclass)
returns table (relation oid, name text, lower_id uuid, upper_id uuid, detach_pending boolean)
language sql stable set search_path = ''
as $$
  select c.oid, format('%I.%I', n.nspname, c.relname), (b.bounds)[1]::uuid, (b.bounds)[2]::uuid, i.inhdetachpending
  from pg_catalog.pg_inherits as i
  join pg_catalog.pg_class as c on c.oid = i.inhrelid
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  cross join lateral (select regexp_match(pg_catalog.pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([0-9a-f-]{36})''\) TO \(''([0-9a-f-]{36})''\)') as bounds) as b
  where i.inhparent = p_table and b.bounds is not null
  order by 3
$$;
comment on function plinth_kernel.partition_list(regclass) is 'Partitions of a table by uuid v7 range, oldest first; detach_pending when a concurrent detach was cut off.';
