-- Sets the cursors of a consumer to the beginning, to now, behind a position or to a moment. Waits for the batches that are being handled. With
-- nothing seen (s1 = 1:1:), a window that ends now and a `last` inside it, everything committed behind that position comes, and so does whatever
-- commits later, wherever its position lies.
create or replace function plinth_kernel.feed_rewind(p_feed text, p_consumer text, p_to text default null, p_position bigint default null, p_at timestamptz default null)
returns table (shard smallint, after_position bigint)
language plpgsql volatile set search_path = ''
as $$
#variable_conflict use_column
declare
  _shard smallint;
  _after bigint;
  _epoch integer;
  _over boolean;
begin
  if pg_catalog.num_nonnulls(p_to, p_position, p_at) <> 1 or p_to not in ('beginning', 'now') or p_position < 0 then
    raise exception 'a consumer is rewound to beginning or now, behind a position from 0 on, or to a time; to one of them' using errcode = 'PL400', detail = '{"code":"kernel_invalid_input"}',
      hint = 'Pass one of p_to, p_position and p_at.';
  end if;
  perform plinth_kernel.feed_epoch(p_feed);
  for _shard in select f.shard from plinth_kernel.feed_cursors as f where f.feed = p_feed and f.consumer = p_consumer order by f.shard for update loop
    _after := case when p_to = 'beginning' then 0 when p_to is null then coalesce(p_position, plinth_kernel.feed_position_at(p_feed, _shard, p_at)) end;
    select e.epoch, exists (select from plinth_kernel.feed_epochs as n where n.feed = p_feed and n.epoch > e.epoch) into _epoch, _over
    from plinth_kernel.feed_epochs as e where e.feed = p_feed and (_after is null or e.after_position <= _after) order by e.epoch desc limit 1;
    -- A statement of its own, after the lock, as in feed_claim.
    update plinth_kernel.feed_cursors as f set epoch = _epoch, s1 = case when _after is null then pg_catalog.pg_current_snapshot() else '1:1:' end, s1_at = pg_catalog.clock_timestamp(),
      s2 = case when _after > 0 then case when _over then plinth_kernel.feed_everything() else pg_catalog.pg_current_snapshot() end end,
      last = coalesce(_after, 0), failures = 0, failed_to = null, failing_since = null, last_error = null, retry_at = null, updated_at = pg_catalog.clock_timestamp()
    where f.feed = p_feed and f.consumer = p_consumer and f.shard = _shard;
    shard := _shard;
    after_position := _after;
    return next;
  end loop;
  update plinth_kernel.feed_consumers as c set rewound_at = pg_catalog.clock_timestamp() where c.feed = p_feed and c.consumer = p_consumer;
end
$$;
comment on function plinth_kernel.feed_rewind(text, text, text, bigint, timestamptz) is
  'Makes a consumer read again from the beginning, from behind a position or from a moment, or pass over everything up to now; what has not been committed yet comes in any case. Returns the position of each shard, null for now; no rows: there is no such consumer.';
