-- The role that works is never connected as, and has no right to, where it was taken from public: then the size of the database is null.
create or replace function plinth_maintenance.review_storage() returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select jsonb_build_object(
    'database_bytes', case when has_database_privilege(current_database(), 'connect') then pg_catalog.pg_database_size(current_database()) end,
    'archive_bytes', (select coalesce(sum(l.archive_bytes), 0) from plinth_kernel.retention_partitions as l where l.state = 'dropped'),
    'kinds', (
      select coalesce(jsonb_agg(to_jsonb(u) order by u.bytes desc), '[]')
      from (
        select k.kind, count(*) filter (where t.isleaf) as partitions, coalesce(sum(pg_catalog.pg_total_relation_size(t.relid)), 0) as bytes,
          coalesce(sum(greatest(c.reltuples, 0)) filter (where t.isleaf), 0)::bigint as row_estimate
        from plinth_kernel.retention_kinds as k
        cross join lateral pg_catalog.pg_partition_tree(k.table_name::regclass) as t
        join pg_catalog.pg_class as c on c.oid = t.relid
        group by k.kind) as u))
$$;
comment on function plinth_maintenance.review_storage() is 'Bytes of the database (null without the right to connect) and of each kind, with estimated rows, and of the archives of what was dropped.';
