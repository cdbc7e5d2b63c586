-- Positions are given out in the order of the clock, but for rows that were written at the same moment and for corrections of the clock: the
-- answer is the place of a second earlier. Found by halving, because created_at has no index.
create or replace function plinth_kernel.feed_position_at(p_feed text, p_shard smallint, p_at timestamptz) returns bigint
language plpgsql stable set search_path = ''
as $$
declare
  _low bigint := 0;
  _high bigint;
  _row record;
begin
  execute pg_catalog.format('select coalesce((select position from %s where shard = $1 order by position desc limit 1), 0)', p_feed::regclass) into _high using p_shard;
  -- Rows up to _low are older; those after _high are not.
  while _low < _high loop
    execute pg_catalog.format('select position, created_at from %s where shard = $1 and position > $2 order by position limit 1', p_feed::regclass)
      into _row using p_shard, (_low + _high) / 2;
    if _row.position is not null and _row.created_at < p_at - interval '1 second' then
      _low := _row.position;
    else
      _high := (_low + _high) / 2;
    end if;
  end loop;
  return _low;
end
$$;
comment on function plinth_kernel.feed_position_at(text, smallint, timestamptz) is
  'Position in a shard of a log after which no row was written more than a second before a moment; 0 when that is true of all.';
