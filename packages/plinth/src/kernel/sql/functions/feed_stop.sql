-- Forgets a consumer, so that it holds nothing back any more.
create or replace function plinth_kernel.feed_stop(p_feed text, p_consumer text) returns integer
language sql volatile set search_path = ''
as $$
  delete from plinth_kernel.feed_consumers where feed = p_feed and consumer = p_consumer;
  with gone as (delete from plinth_kernel.feed_cursors where feed = p_feed and consumer = p_consumer returning 1)
  select count(*)::integer from gone
$$;
comment on function plinth_kernel.feed_stop(text, text) is 'Removes the cursors of a consumer; returns how many there were. Its unread rows no longer hold back retention.';
