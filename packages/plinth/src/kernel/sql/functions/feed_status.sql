-- How far behind each consumer is, for doctor, metrics and people. It looks at 1,000 rows of a kind and shard and no more, whatever waits: in the middle of
-- a window at those behind `last` by position and at those since s2 by transaction, which may lie before `last`; otherwise at those since s1. All of
-- these are unread (`+ 0` and the lateral join keep the planner to the index of transactions, see feed-read.ts). Definer rights for the reason of feed_windows: it
-- tells numbers, and error texts, which are the installation's.
create or replace function plinth_kernel.feed_status(p_feed text, p_consumer text default null)
returns table (consumer text, shard smallint, waiting bigint, oldest timestamptz, handled bigint, failures integer, failing_since timestamptz, last_error text, retry_at timestamptz, moved_at timestamptz)
language plpgsql stable security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  _cursor record;
begin
  for _cursor in
    select w.*, c.handled, c.failing_since, c.last_error, c.updated_at from plinth_kernel.feed_windows(p_feed) as w
    join plinth_kernel.feed_cursors as c on c.feed = p_feed and c.consumer = w.consumer and c.shard = w.shard
    where p_consumer is null or w.consumer = p_consumer
  loop
    consumer := _cursor.consumer;
    shard := _cursor.shard;
    handled := _cursor.handled;
    failures := _cursor.failures;
    failing_since := _cursor.failing_since;
    last_error := _cursor.last_error;
    retry_at := _cursor.retry_at;
    moved_at := _cursor.updated_at;
    if _cursor.s2 is null and _cursor.up_to = 9223372036854775807 then
      execute pg_catalog.format('select count(*), min(u.created_at) from (
          (select o.created_at from pg_snapshot_xip($2) as x (xact) cross join lateral (
            select e.created_at from %1$s as e where e.shard = $1 and e.position + 0 > $3 and e.xact = x.xact limit 1000) as o limit 1000) union all
          (select e.created_at from %1$s as e where e.shard = $1 and e.position + 0 > $3 and e.xact >= pg_snapshot_xmax($2) order by e.xact limit 1000) limit 1000) as u', p_feed::regclass)
        into waiting, oldest using _cursor.shard, _cursor.s1, _cursor.above;
    else
      execute pg_catalog.format('select count(*), min(u.created_at) from (
          (select e.position, e.created_at from %1$s as e where e.shard = $1 and e.position > greatest($2, $3)
            and (e.position > $4 or not pg_visible_in_snapshot(e.xact, $5)) order by e.position limit 1000) union
          (select o.position, o.created_at from pg_snapshot_xip($6) as x (xact) cross join lateral (
            select e.position, e.created_at from %1$s as e where e.shard = $1 and e.position + 0 > $3 and e.xact = x.xact limit 1000) as o limit 1000) union
          (select e.position, e.created_at from %1$s as e where e.shard = $1 and e.position + 0 > $3 and e.xact >= pg_snapshot_xmax($6) order by e.xact limit 1000) limit 1000) as u', p_feed::regclass)
        into waiting, oldest using _cursor.shard, _cursor.last, _cursor.above, _cursor.up_to, _cursor.s1, _cursor.s2;
    end if;
    return next;
  end loop;
end
$$;
comment on function plinth_kernel.feed_status(text, text) is 'One row for each shard of each consumer of a log, or of one consumer: rows waiting (at most 1,000 are counted), the oldest of them, failures.';
