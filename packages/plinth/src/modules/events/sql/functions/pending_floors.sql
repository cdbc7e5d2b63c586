-- By shard, the transaction id from which on events may still be waiting for a consumer.
create or replace function plinth_events.pending_floors() returns table (shard smallint, floor xid8)
language sql stable security invoker rows 8
begin atomic
  select w.shard, min(w.floor) from plinth_kernel.feed_windows('plinth_events.events') as w group by w.shard;
end;
comment on function plinth_events.pending_floors() is 'For each shard: events of transactions below `floor` have been read by every consumer.';
