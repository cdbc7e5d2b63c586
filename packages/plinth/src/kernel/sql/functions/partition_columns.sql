create or replace function plinth_kernel.partition_columns(p_relation oid) returns table (name text, type text, place integer, key_place integer)
language sql stable set search_path = ''
as $$
  select a.attname::text, format_type(a.atttypid, null), a.attnum::integer,
    (select u.place::integer from pg_catalog.pg_index as i cross join unnest(i.indkey::int2[]) with ordinality as u (attnum, place)
     where i.indrelid = p_relation and i.indisprimary and u.attnum = a.attnum)
  from pg_catalog.pg_attribute as a where a.attrelid = p_relation and a.attnum > 0 and not a.attisdropped order by a.attnum
$$;
comment on function plinth_kernel.partition_columns(oid) is 'Columns of a table in order, with their SQL types and their place in the primary key (1, 2, ...), if they are in it.';
