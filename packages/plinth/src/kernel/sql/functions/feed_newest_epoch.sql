-- For readers that keep their own place and may not begin an epoch. One that is out of date (a dump was restored, nobody has read the log since) makes the
-- reader begin anew, as it must. Definer rights for the reason of feed_windows.
create or replace function plinth_kernel.feed_newest_epoch(p_feed text) returns integer
language sql stable security definer set search_path = ''
as $$
  select coalesce(max(e.epoch), 1) from plinth_kernel.feed_epochs as e where e.feed = p_feed
$$;
comment on function plinth_kernel.feed_newest_epoch(text) is 'Newest epoch of a log that has begun; 1 for a log that nobody has read yet.';
