create or replace function plinth_kernel.partition_count(p_relation oid, p_column text, out row_count bigint, out min_id uuid, out max_id uuid)
language plpgsql stable set search_path = ''
as $$
begin
  execute format('select count(*), min(r.%1$I::text)::uuid, max(r.%1$I::text)::uuid from %2$s as r', p_column, p_relation::regclass) into row_count, min_id, max_id;
end
$$;
comment on function plinth_kernel.partition_count(oid, text) is 'Rows, smallest and largest partitioning id of a partition.';
