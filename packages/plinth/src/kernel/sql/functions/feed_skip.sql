-- The way out for a row that a consumer cannot handle: passes over the next unread row of a shard. The caller keeps it elsewhere, or says why
-- not in the audit log.
create or replace function plinth_kernel.feed_skip(p_feed text, p_consumer text, p_shard smallint, p_only bigint default null, p_aside boolean default false) returns bigint
language plpgsql volatile set search_path = ''
as $$
declare
  _cursor record;
  _s2 pg_snapshot;
  _next bigint;
begin
  perform from plinth_kernel.feed_cursors as f where f.feed = p_feed and f.consumer = p_consumer and f.shard = p_shard for update;
  -- A statement of its own, after the lock, as in feed_claim.
  select w.*, w.up_to < 9223372036854775807 as over into _cursor from plinth_kernel.feed_windows(p_feed) as w where w.consumer = p_consumer and w.shard = p_shard;
  _s2 := coalesce(_cursor.s2, case when _cursor.over then plinth_kernel.feed_everything() else pg_catalog.pg_current_snapshot() end);
  execute pg_catalog.format('select e.position from %s as e where e.shard = $1 and e.xact >= $2 and e.position > greatest($3, $4) and e.position <= $5
    and not pg_visible_in_snapshot(e.xact, $6) and pg_visible_in_snapshot(e.xact, $7) order by e.position limit 1', p_feed::regclass)
    into _next using p_shard, _cursor.floor, _cursor.last, _cursor.above, _cursor.up_to, _cursor.s1, _s2;
  if p_only is not null and _next is distinct from p_only then
    return null;
  end if;
  if _next is not null then
    -- The rest of a batch that failed is still read one at a time, as in feed_checkpoint: there may be more of the kind in it.
    update plinth_kernel.feed_cursors as f set s2 = _s2, last = _next, aside = f.aside or p_aside,
      failures = case when _next < f.failed_to then least(f.failures, 1) else 0 end, failed_to = case when _next < f.failed_to then f.failed_to end,
      failing_since = case when _next < f.failed_to then f.failing_since end, last_error = case when _next < f.failed_to then f.last_error end, retry_at = null, lost = 0,
      updated_at = pg_catalog.clock_timestamp()
    where f.feed = p_feed and f.consumer = p_consumer and f.shard = p_shard;
  end if;
  return _next;
end
$$;
comment on function plinth_kernel.feed_skip(text, text, smallint, bigint, boolean) is
  'Passes over the next row that a consumer has not read in a shard, for one that it cannot handle; returns its position, or null when there is none. p_only: only if it is the row at this position. p_aside: later rows of its tenant must not overtake it. For plinth_worker.';
