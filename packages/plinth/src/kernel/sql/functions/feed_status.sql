-- How far behind each consumer is, for doctor, metrics and people. The count stops at 1,000 a shard.
create or replace function plinth_kernel.feed_status(p_feed text)
returns table (consumer text, waiting bigint, oldest timestamptz, handled bigint, failures integer, last_error text, retry_at timestamptz)
language plpgsql stable set search_path = ''
as $$
declare
  _cursor record;
  _waiting bigint;
  _oldest timestamptz;
begin
  for _cursor in
    select w.*, c.handled, c.last_error from plinth_kernel.feed_windows(p_feed) as w
    join plinth_kernel.feed_cursors as c on c.feed = p_feed and c.consumer = w.consumer and c.shard = w.shard
  loop
    execute pg_catalog.format('select count(*), min(u.created_at) from (select e.created_at from %s as e where e.shard = $1 and e.xact >= $2
      and plinth_kernel.feed_unread(e.xact, e.position, $3, $4, $5, $6, $7) order by e.xact limit 1000) as u', p_feed::regclass)
      into _waiting, _oldest using _cursor.shard, _cursor.floor, _cursor.s1, _cursor.s2, _cursor.last, _cursor.above, _cursor.up_to;
    consumer := _cursor.consumer;
    waiting := _waiting;
    oldest := _oldest;
    handled := _cursor.handled;
    failures := _cursor.failures;
    last_error := _cursor.last_error;
    retry_at := _cursor.retry_at;
    return next;
  end loop;
end
$$;
comment on function plinth_kernel.feed_status(text) is 'One row for each shard of each consumer of a log: rows waiting (at most 1,000 are counted), the oldest of them, failures. For plinth_worker and plinth_reader.';
