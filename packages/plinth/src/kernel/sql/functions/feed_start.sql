-- Gives a consumer its cursors, one a shard. Safe to repeat and to race for: existing cursors stay where they are.
create or replace function plinth_kernel.feed_start(p_feed text, p_consumer text, p_from text default 'beginning') returns void
language plpgsql volatile set search_path = ''
as $$
declare
  _epoch integer;
begin
  if p_from not in ('beginning', 'now') then
    raise exception 'a consumer starts from the beginning or from now, not from %', p_from using errcode = 'PL400', detail = '{"code":"kernel_invalid_input"}', hint = 'Pass beginning or now.';
  end if;
  _epoch := plinth_kernel.feed_epoch(p_feed);
  insert into plinth_kernel.feed_consumers (feed, consumer) values (p_feed, p_consumer) on conflict do nothing;
  insert into plinth_kernel.feed_cursors (feed, consumer, shard, epoch, s1)
  select p_feed, p_consumer, s.shard, case p_from when 'now' then _epoch else 1 end, case p_from when 'now' then pg_catalog.pg_current_snapshot() else '1:1:' end
  from pg_catalog.generate_series(0, 7) as s (shard)
  on conflict do nothing;
end
$$;
comment on function plinth_kernel.feed_start(text, text, text) is
  'Registers a consumer of a log (p_feed: schema.table), from the beginning of what is kept or from now: then it gets what is committed later, also by transactions that are already open.';
