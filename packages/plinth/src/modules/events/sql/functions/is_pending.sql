-- Its cost keeps it behind every condition that an index answers.
create or replace function plinth_events.is_pending(p_shard smallint, p_xact xid8, p_position bigint) returns boolean
language sql stable security invoker cost 1000
as $$
  select exists (select from plinth_kernel.feed_windows('plinth_events.events') as w
    where w.shard = p_shard and plinth_kernel.feed_unread(p_xact, p_position, w.s1, w.s2, w.last, w.above, w.up_to))
$$;
comment on function plinth_events.is_pending(smallint, xid8, bigint) is 'Whether a consumer of the feed has still to read an event.';
