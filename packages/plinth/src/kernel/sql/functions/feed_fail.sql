-- After a handler failed and was rolled back: its shards are read one event at a time, and wait longer after each further failure
-- (1 s to 60 s), so that the events before a bad one get through and other shards are not held up.
create or replace function plinth_kernel.feed_fail(p_feed text, p_consumer text, p_shards smallint[], p_error text) returns void
language sql volatile set search_path = ''
as $$
  update plinth_kernel.feed_cursors as f set failures = f.failures + 1, last_error = left(p_error, 1000),
    retry_at = case when f.failures > 0 then pg_catalog.clock_timestamp() + least(60, power(2, least(f.failures, 7) - 1)) * interval '1 second' end,
    updated_at = pg_catalog.clock_timestamp()
  where f.feed = p_feed and f.consumer = p_consumer and f.shard = any (p_shards)
$$;
comment on function plinth_kernel.feed_fail(text, text, smallint[], text) is 'Notes that a batch of these shards failed, and when it may be tried again.';
