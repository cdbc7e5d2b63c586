-- Asked while the partition is attached: afterwards no reader sees its rows, so that the answer at the detach is the one that counts.
create or replace function plinth_kernel.retention_feed_hold(p_relation oid) returns text
language sql stable set search_path = ''
as $$
  select string_agg(distinct format('%s (shard %s)', f.consumer, f.shard), ', ') from plinth_kernel.feed_holds(p_relation::regclass) as f
$$;
comment on function plinth_kernel.retention_feed_hold(oid) is 'Consumers of the feed that have still to read rows of a partition, or null.';
