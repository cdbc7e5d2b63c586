create or replace function plinth_kernel.partition_column(p_table regclass) returns text
language sql stable set search_path = ''
as $$
  select a.attname::text
  from pg_catalog.pg_partitioned_table as p join pg_catalog.pg_attribute as a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
  where p.partrelid = p_table
$$;
comment on function plinth_kernel.partition_column(regclass) is 'The uuid v7 column by which a table is partitioned: id, or another where rows age from another moment than their making. Null for a table that is not partitioned.';
