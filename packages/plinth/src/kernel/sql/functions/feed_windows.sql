-- Where the consumers of a log stand, one row a cursor. Definer rights, because applications may not read the cursors themselves;
-- it tells transaction ids and nothing of any tenant. Rows of the shard with xact below `floor` are seen by this consumer.
create or replace function plinth_kernel.feed_windows(p_feed text)
returns table (consumer text, shard smallint, floor xid8, s1 pg_snapshot, s2 pg_snapshot, last bigint, above bigint, up_to bigint, failures integer, retry_at timestamptz)
language sql stable security definer rows 8 set search_path = ''
as $$
  select f.consumer, f.shard, case when next.epoch is null then pg_catalog.pg_snapshot_xmin(f.s1) else '0'::xid8 end, f.s1, f.s2, f.last,
    this.after_position, coalesce(next.after_position, 9223372036854775807), f.failures, f.retry_at
  from plinth_kernel.feed_cursors as f
  join plinth_kernel.feed_epochs as this on this.feed = f.feed and this.epoch = f.epoch
  left join plinth_kernel.feed_epochs as next on next.feed = f.feed and next.epoch = f.epoch + 1
  where f.feed = p_feed
$$;
comment on function plinth_kernel.feed_windows(text) is 'Cursors of a log (schema.table) with the bounds within which plinth_kernel.feed_unread has to be asked.';
