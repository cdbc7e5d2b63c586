-- Moves claimed cursors, in the transaction of the handler. One whose window has more stays between the same snapshots and remembers where it
-- was (p_last); one that has reached s2 (p_last null) has it as its new s1; at the end of an epoch that is over, the next one begins with nothing
-- seen. A shard that failed goes on one event at a time until it is past the batch that failed.
create or replace function plinth_kernel.feed_checkpoint(p_feed text, p_consumer text, p_shards smallint[], p_s2 pg_snapshot[], p_last bigint[], p_handled bigint[])
returns void
language sql volatile set search_path = ''
as $$
  update plinth_kernel.feed_cursors as f set
    s2 = case when c.last is not null then c.s2 end,
    last = coalesce(c.last, 0),
    s1 = case when c.last is not null then f.s1 when c.s2::text = plinth_kernel.feed_everything()::text then '1:1:' else c.s2 end,
    s1_at = case when c.last is not null then f.s1_at else pg_catalog.clock_timestamp() end,
    epoch = f.epoch + case when c.last is null and c.s2::text = plinth_kernel.feed_everything()::text then 1 else 0 end,
    handled = f.handled + c.handled,
    failures = case when c.last < f.failed_to then least(f.failures, 1) else 0 end, failed_to = case when c.last < f.failed_to then f.failed_to end,
    failing_since = case when c.last < f.failed_to then f.failing_since end, last_error = case when c.last < f.failed_to then f.last_error end, retry_at = null, lost = 0,
    updated_at = pg_catalog.clock_timestamp()
  from unnest(p_shards, p_s2, p_last, p_handled) as c (shard, s2, last, handled)
  where f.feed = p_feed and f.consumer = p_consumer and f.shard = c.shard
$$;
comment on function plinth_kernel.feed_checkpoint(text, text, smallint[], pg_snapshot[], bigint[], bigint[]) is
  'Moves cursors that this transaction has claimed: to a position inside their window, or (null) past its end.';
