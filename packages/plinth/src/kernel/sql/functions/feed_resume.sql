create or replace function plinth_kernel.feed_resume(p_feed text, p_consumer text) returns boolean
language sql volatile set search_path = ''
as $$
  with resumed as (
    update plinth_kernel.feed_consumers as c set paused_at = null, paused_until = null, pause_reason = null, paused_by = null
    where c.feed = p_feed and c.consumer = p_consumer returning 1)
  select exists (select from resumed)
$$;
comment on function plinth_kernel.feed_resume(text, text) is 'Ends the pause of a consumer: it goes on where it was. False: there is no such consumer.';
