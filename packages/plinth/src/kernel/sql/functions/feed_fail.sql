-- After a handler failed and was rolled back: its shards are read one event at a time up to where the batch reached, and wait longer after each
-- further failure (1 s to 60 s), so that the events before a bad one get through. One that fails alone is put aside (feed-aside.ts), so waits are for
-- consumers that want to stop there, and for handlers that fail on everybody's events. A process that was
-- taken for dead may come back and say so late: a cursor that has gone on since the claim is left alone.
create or replace function plinth_kernel.feed_fail(p_feed text, p_consumer text, p_shards smallint[], p_s1 pg_snapshot[], p_last bigint[], p_error text, p_to bigint, p_lost integer default 0)
returns void
language sql volatile set search_path = ''
as $$
  update plinth_kernel.feed_cursors as f set failures = f.failures + case when p_to is null then 0 else 1 end, failed_to = greatest(f.failed_to, p_to),
    failing_since = coalesce(f.failing_since, pg_catalog.clock_timestamp()), last_error = left(p_error, 1000),
    retry_at = case when f.failures > 0 and p_to is not null then pg_catalog.clock_timestamp() + least(60, power(2, least(f.failures, 7) - 1)) * interval '1 second' else f.retry_at end,
    lost = p_lost, updated_at = pg_catalog.clock_timestamp()
  from unnest(p_shards, p_s1, p_last) as c (shard, s1, last)
  where f.feed = p_feed and f.consumer = p_consumer and f.shard = c.shard and f.s1::text = c.s1::text and f.last = c.last
$$;
comment on function plinth_kernel.feed_fail(text, text, smallint[], pg_snapshot[], bigint[], text, bigint, integer) is
  'Notes that a batch of these shards, claimed at s1 and last, failed, and when it may be tried again. p_to: the position that it reached to; null: nobody is to blame, and it may be tried again at once. p_lost: so many processes ended over it.';
