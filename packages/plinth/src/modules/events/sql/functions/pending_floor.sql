-- The transaction id from which on events of a shard may still be waiting for a consumer. Of a constant it is one itself, by which an index is searched and
-- which the planner knows when it chooses one.
create or replace function plinth_events.pending_floor(p_shard integer) returns xid8
language sql stable security invoker cost 1000
as $$
  select min(w.floor) from plinth_kernel.feed_windows('plinth_events.events') as w where w.shard = p_shard
$$;
comment on function plinth_events.pending_floor(integer) is 'Events of a shard of transactions below it have been read by every consumer; null when there is none.';
