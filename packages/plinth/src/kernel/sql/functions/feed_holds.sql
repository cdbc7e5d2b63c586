-- Consumers that have not read every row of a log, or of one of its partitions: retention asks before it drops one.
create or replace function plinth_kernel.feed_holds(p_table regclass) returns table (consumer text, shard smallint)
language plpgsql stable set search_path = ''
as $$
declare
  _feed text := coalesce((select i.inhparent from pg_catalog.pg_inherits as i where i.inhrelid = p_table), p_table)::regclass::text;
  _window record;
  _held boolean;
begin
  for _window in select * from plinth_kernel.feed_windows(_feed) as w order by w.consumer, w.shard loop
    execute pg_catalog.format('select exists (select from %s as e where e.shard = $1 and e.xact >= $2 and plinth_kernel.feed_unread(e.xact, e.position, $3, $4, $5, $6, $7))', p_table)
      into _held using _window.shard, _window.floor, _window.s1, _window.s2, _window.last, _window.above, _window.up_to;
    if _held then
      consumer := _window.consumer;
      shard := _window.shard;
      return next;
    end if;
  end loop;
end
$$;
comment on function plinth_kernel.feed_holds(regclass) is
  'Consumers, with their shard, that have still to read rows of this log or partition. None: it may be dropped. plinth_kernel.feed_stop forgets a consumer that is gone.';
