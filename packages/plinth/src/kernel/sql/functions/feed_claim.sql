-- Takes cursors of a consumer that nobody else holds, and says between which snapshots each is to be read. With a backlog a process
-- takes two shards, so that others find some; otherwise all, so that a quiet log costs one transaction. A shard that failed
-- is taken alone, so that it holds up nobody else. Up to a given snapshot (p_until) pauses and waits after failures do not count: whoever asks
-- for that holds all cursors and wants them there now.
-- lost: whoever claimed the shard last ended without a checkpoint and without saying why, as a process does that is killed. His lock is gone with
-- his transaction, but its id stays in the row, whose xmax is of before our own lock; whatever moves a cursor or notes a failure writes a new row without one.
create or replace function plinth_kernel.feed_claim(p_feed text, p_consumer text, p_until pg_snapshot default null)
returns table (shard smallint, s1 pg_snapshot, s2 pg_snapshot, last bigint, above bigint, up_to bigint, failures integer, move boolean, aside boolean, lost integer)
language plpgsql volatile set search_path = ''
as $$
declare
  _oldest record;
  _shards smallint[];
  _lost smallint[];
  _now pg_snapshot;
begin
  if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a feed is read under read committed, not %', pg_catalog.current_setting('transaction_isolation')
      using errcode = 'PL500', detail = '{"code":"kernel_internal"}', hint = 'Open the transaction without an isolation level.';
  end if;
  if p_until is null and exists (select from plinth_kernel.feed_consumers as p where p.feed = p_feed and p.consumer = p_consumer and p.paused_until > pg_catalog.clock_timestamp()) then
    return;
  end if;
  select f.shard, f.failures, plinth_kernel.was_abandoned(f.xmax) as lost into _oldest from plinth_kernel.feed_cursors as f
  where f.feed = p_feed and f.consumer = p_consumer and (f.retry_at is null or f.retry_at <= pg_catalog.clock_timestamp() or p_until is not null)
    and (p_until is null or f.s1::text <> p_until::text)
  -- One that failed goes first when its wait is over: quiet shards do not move, so by age alone it would wait behind all of them.
  order by f.failures = 0, f.updated_at limit 1 for update skip locked;
  if not found then
    return;
  end if;
  _shards := array[_oldest.shard];
  _lost := case when _oldest.lost then _shards else '{}' end;
  if _oldest.failures = 0 then
    select _shards || coalesce(pg_catalog.array_agg(c.shard), '{}'), _lost || coalesce(pg_catalog.array_agg(c.shard) filter (where c.lost), '{}') into _shards, _lost from (
      select f.shard, plinth_kernel.was_abandoned(f.xmax) as lost from plinth_kernel.feed_cursors as f
      where f.feed = p_feed and f.consumer = p_consumer and f.shard <> _oldest.shard and f.failures = 0 and (p_until is null or f.s1::text <> p_until::text)
      order by f.s2 is null, f.updated_at
      limit case when exists (select from plinth_kernel.feed_cursors as b where b.feed = p_feed and b.consumer = p_consumer and b.s2 is not null) then 1 else 7 end
      for update skip locked) as c;
  end if;
  -- A statement of its own, after the locks: its snapshot is younger than the s1 of whoever held them before.
  _now := coalesce(p_until, pg_catalog.pg_current_snapshot());
  return query
  select f.shard, f.s1, coalesce(f.s2, case when next.after_position is null then _now else plinth_kernel.feed_everything() end), f.last,
    this.after_position, coalesce(next.after_position, 9223372036854775807), f.failures,
    p_until is not null or f.s2 is not null or next.after_position is not null or f.s1_at < pg_catalog.clock_timestamp() - interval '10 minutes', f.aside, case when f.shard = any (_lost) then f.lost + 1 else 0 end
  from plinth_kernel.feed_cursors as f
  join plinth_kernel.feed_epochs as this on this.feed = f.feed and this.epoch = f.epoch
  left join plinth_kernel.feed_epochs as next on next.feed = f.feed and next.epoch = f.epoch + 1
  where f.feed = p_feed and f.consumer = p_consumer and f.shard = any (_shards)
  order by f.shard;
end
$$;
comment on function plinth_kernel.feed_claim(text, text, pg_snapshot) is
  'Locks free cursors of a consumer until the end of the transaction; none while it is paused. Rows to read: those of the shard with above < position <= up_to, position > last, not visible in s1, visible in s2, by position. move: the cursor should be moved even if there are none. aside: some of their tenants may have events that were put aside and come first. lost: so many processes in a row that claimed the shard ended before they were done; 0 when the last one did not. p_until: read up to this snapshot and no further.';
