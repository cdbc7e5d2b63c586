create or replace function plinth_maintenance.review_partitions() returns jsonb
language sql stable security invoker set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(h) order by h.kind), '[]') from plinth_kernel.partition_health() as h
$$;
comment on function plinth_maintenance.review_partitions() is 'Partitions of every kind: how many, how many ahead, a detach that was cut off.';
