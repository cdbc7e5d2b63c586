-- Sets the cursors of a consumer to the beginning, to now, behind a position or to a moment. Waits for the batches that are being handled. With
-- nothing seen (s1 = 1:1:), a window that ends now and a `last` inside it, everything committed behind that position comes, and so does whatever
-- commits later, wherever its position lies.
create or replace function plinth_kernel.feed_rewind(p_feed text, p_consumer text, p_to text default null, p_position bigint default null, p_at timestamptz default null, p_forward boolean default false)
returns table (shard smallint, after_position bigint)
language plpgsql volatile set search_path = ''
as $$
#variable_conflict use_column
declare
  _shard smallint;
  _after bigint;
  _epoch integer;
  _over boolean;
  _passed boolean;
  _now pg_snapshot;
  _cursor record;
begin
  if pg_catalog.num_nonnulls(p_to, p_position, p_at) <> 1 or p_to not in ('beginning', 'now') or p_position < 0 then
    raise exception 'a consumer is rewound to beginning or now, behind a position from 0 on, or to a time; to one of them' using errcode = 'PL400', detail = '{"code":"kernel_invalid_input"}',
      hint = 'Pass one of p_to, p_position and p_at.';
  end if;
  perform plinth_kernel.feed_epoch(p_feed);
  for _shard in select f.shard from plinth_kernel.feed_cursors as f where f.feed = p_feed and f.consumer = p_consumer order by f.shard for update loop
    _after := case when p_to = 'beginning' then 0 when p_to is null then coalesce(p_position, plinth_kernel.feed_position_at(p_feed, _shard, p_at)) end;
    -- A statement of its own, after the lock, as in feed_claim; and one for both: what commits after the question is not in the window, so it comes.
    _now := pg_catalog.pg_current_snapshot();
    if _after > 0 and not p_forward then
      select w.* into _cursor from plinth_kernel.feed_windows(p_feed) as w where w.consumer = p_consumer and w.shard = _shard;
      execute pg_catalog.format('select exists (select from %s as e where e.shard = $1 and e.xact >= $2 and e.position <= $3
        and pg_visible_in_snapshot(e.xact, $9) and plinth_kernel.feed_unread(e.xact, e.position, $4, $5, $6, $7, $8))', p_feed::regclass)
        into _passed using _shard, _cursor.floor, _after, _cursor.s1, _cursor.s2, _cursor.last, _cursor.above, _cursor.up_to, _now;
      if _passed then
        raise exception 'Consumer % has not read everything before that: it would pass over events of shard %', p_consumer, _shard
          using errcode = 'PL409', detail = pg_catalog.jsonb_build_object('code', 'kernel_rewind_passes', 'shard', _shard, 'after_position', _after)::text,
            hint = 'Choose an earlier place, or say that events may be passed over: p_forward := true.';
      end if;
    end if;
    select e.epoch, exists (select from plinth_kernel.feed_epochs as n where n.feed = p_feed and n.epoch > e.epoch) into _epoch, _over
    from plinth_kernel.feed_epochs as e where e.feed = p_feed and (_after is null or e.after_position <= _after) order by e.epoch desc limit 1;
    update plinth_kernel.feed_cursors as f set epoch = _epoch, s1 = case when _after is null then _now else '1:1:' end, s1_at = pg_catalog.clock_timestamp(),
      s2 = case when _after > 0 then case when _over then plinth_kernel.feed_everything() else _now end end,
      last = coalesce(_after, 0), failures = 0, failed_to = null, failing_since = null, last_error = null, retry_at = null, lost = 0, updated_at = pg_catalog.clock_timestamp()
    where f.feed = p_feed and f.consumer = p_consumer and f.shard = _shard;
    shard := _shard;
    after_position := _after;
    return next;
  end loop;
  update plinth_kernel.feed_consumers as c set rewound_at = pg_catalog.clock_timestamp() where c.feed = p_feed and c.consumer = p_consumer;
end
$$;
comment on function plinth_kernel.feed_rewind(text, text, text, bigint, timestamptz, boolean) is
  'Makes a consumer read again from the beginning, from behind a position or from a moment, or pass over everything up to now; what has not been committed yet comes in any case. A position or moment ahead of what was read is refused (kernel_rewind_passes) unless p_forward. Returns the position of each shard, null for now; no rows: there is no such consumer.';
