create or replace function plinth_kernel.partition_count(p_relation oid, out row_count bigint, out min_id uuid, out max_id uuid)
language plpgsql stable set search_path = ''
as $$
begin
  execute format('select count(*), min(r.id::text)::uuid, max(r.id::text)::uuid from %s as r', p_relation::regclass) into row_count, min_id, max_id;
end
$$;
comment on function plinth_kernel.partition_count(oid) is 'Rows, smallest and largest id of a partition.';
